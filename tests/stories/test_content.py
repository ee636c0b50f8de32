"""Stored content from end to end: kept sealed and readable while its days last, nowhere in the clear, then gone."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fixtures_server import RunningServer, eventually

Make = Callable[..., RunningServer]

PROMPT = "nougatcanaryprompt"
LARGE = "nougatcanarylarge"
# What the sandbox answers when it is told to echo holds the prompt, so the answer has this canary too.
ECHO = "[[echo]]"


def _call(server: RunningServer, key: str, text: str, **more: Any) -> str:
    body = {"model": "sandbox/chat", "messages": [{"role": "user", "content": f"{text} {ECHO}"}], **more}
    status, headers, _ = server.http("POST", "/v1/chat/completions", body, key=key)
    assert status == 200
    return headers["x-request-id"]


def _content(server: RunningServer, key: str, call: str) -> dict[str, Any]:
    """What the API gives of a call's content, by a key that may read it."""
    status, _, body = server.http("GET", f"/api/v1/usage/{call}/content", key=key)
    assert status == 200, body
    return json.loads(body)


def _files_with(place: Path, *canaries: str) -> list[str]:
    found: list[str] = []
    for path in sorted(place.rglob("*")):
        if path.is_file() and not path.is_symlink():
            held = path.read_bytes()
            found += [f"{canary} in {path}" for canary in canaries if canary.encode() in held]
    return found


def test_content_is_readable_while_it_lasts_and_never_in_the_clear(fresh_server: Make) -> None:
    server = fresh_server("--simulated", simulated=True).start()
    made = server.cli_json(
        "key", "create", "--org", server.organisation, "--name", "keeps", "--store-days", "2",
        "--scopes", "chat,content:read",
    )  # fmt: skip
    key = made["key"]
    small = _call(server, key, PROMPT)
    streamed = _call(server, key, PROMPT, stream=True)
    large = _call(server, key, f"{LARGE} " * 8_000)
    silent = _call(server, server.key, PROMPT)

    for call, request, answer in (
        (small, PROMPT, PROMPT),
        (streamed, PROMPT, "chat.completion.chunk"),
        (large, LARGE, LARGE),
    ):
        shown = eventually(lambda call=call: _content(server, key, call)["content"])
        assert request in shown["request"]["text"]
        assert answer in shown["answer"]["text"]
    eventually(lambda: server.cli_raw("usage", "show", streamed).returncode == 0)
    told = server.cli_json("usage", "show", streamed, "--content")
    assert told["content"]["answer"] == {
        "state": "stored", "media_type": "text/event-stream", "base64": None,
        "bytes": len(told["content"]["answer"]["text"].encode()), "text": told["content"]["answer"]["text"],
    }  # fmt: skip
    assert PROMPT in told["content"]["request"]["text"]
    until = told["content_until"]
    assert until.endswith("T00:00:00Z")
    assert _content(server, key, silent) == {"id": silent, "content": None, "content_until": None}
    objects = server.data / "objects" / "content" / until[:10]
    assert len(list(objects.iterdir())) == 2

    assert _files_with(server.place, PROMPT, LARGE) == []
    assert server.stop() == 0
    assert _files_with(server.place, PROMPT, LARGE) == []
    assert _files_with(server.place, server.key), "the search finds what is there"

    server.env["RUXA_CLOCK_OFFSET"] = "+2d"
    server.start()
    for call in (small, streamed, large):
        assert _content(server, key, call) == {"id": call, "content": None, "content_until": None}
    told = server.cli_json("usage", "show", streamed, "--content")
    assert (told["id"], told["content"], told["content_until"]) == (streamed, None, None)
    server.cli("retention", "run")
    assert not objects.exists()
    later = _call(server, key, PROMPT)
    assert eventually(lambda: _content(server, key, later)["content"])["request"]["state"] == "stored"
    assert server.stop() == 0
    assert _files_with(server.place, PROMPT, LARGE) == []


def test_a_killed_gateway_loses_content_of_a_moment_at_most_and_no_row(fresh_server: Make) -> None:
    server = fresh_server().start()
    key = server.cli_json(
        "key", "create", "--org", server.organisation, "--name", "keeps", "--store-days", "7",
        "--scopes", "chat,usage:read,content:read",
    )["key"]  # fmt: skip
    first = _call(server, key, PROMPT)
    eventually(lambda: _content(server, key, first)["content"])
    last = [_call(server, key, PROMPT) for _ in range(3)]
    os.kill(server.pids()["gateway 0"], signal.SIGKILL)
    eventually(lambda: _answers(server, key), 30)
    for call in last:
        eventually(lambda call=call: server.http("GET", f"/api/v1/usage/{call}", key=key)[0] == 200, 20)
        found = _content(server, key, call)["content"]
        assert found is None or PROMPT in found["request"]["text"]
    assert _content(server, key, first)["content"] is not None
    after = _call(server, key, PROMPT)
    assert eventually(lambda: _content(server, key, after)["content"])
    assert server.stop() == 0


def _answers(server: RunningServer, key: str) -> bool:
    try:
        return server.http("GET", "/v1/models", key=key)[0] == 200
    except OSError:
        return False
