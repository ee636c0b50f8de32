"""Translation beside relay: what a streamed event costs the gateway when it crosses from one dialect to another.

    .venv/bin/python bench/translation.py              every pair, 20 streams of 200 events at a time
    .venv/bin/python bench/translation.py --write      puts the table into bench/README.md

One real instance with one gateway worker; a sandbox stands behind four providers that speak one dialect each.
Per caller's dialect the same stream is relayed and translated, in turn, several rounds; the figure is the gateway
process's own CPU time (user and system, from /proc) per event, the best round of each. Mark: at most 3 x the relay.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RUXA = [sys.executable, "-m", "ruxa"]
README = Path(__file__).with_name("README.md")
EVENTS = 200
MARK_RATIO = 3.0
DIALECTS = ("openai_chat", "openai_responses", "anthropic_messages", "gemini_generate")
SHORT = {"openai_chat": "OC", "openai_responses": "OR", "anthropic_messages": "AM", "gemini_generate": "GG"}
BASES = {"openai_chat": "/v1", "openai_responses": "/v1", "anthropic_messages": "/v1", "gemini_generate": "/v1beta"}
MARKS = f"[[tokens={EVENTS}]] [[pace-ms=1]] go"


def main() -> int:
    """Starts, streams, tells."""
    parser = argparse.ArgumentParser(description="Measures translation of streams beside their relay.")
    parser.add_argument("--streams", type=int, default=20, help="at a time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="ruxa-translation-"))
    try:
        return asyncio.run(measure(place, given))
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def measure(place: Path, given: argparse.Namespace) -> int:
    """One instance from its first start to its end."""
    data = place / "data"
    log = (place / "log").open("w")
    sandbox = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
        [*RUXA, "sandbox", "--port", "0"], stdout=subprocess.PIPE, text=True, stderr=log, cwd=place
    )
    assert sandbox.stdout is not None
    upstream = sandbox.stdout.readline().rsplit(" ", 1)[1].strip()
    (place / "ruxa.toml").write_text("".join(_provider(dialect, upstream) for dialect in DIALECTS))
    env = {**os.environ, "BENCH_KEY": "any"}
    command = [*RUXA, "run", "--port", "0", "--workers", "1", "--data", str(data), "--config", "ruxa.toml"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, cwd=place, env=env)  # noqa: ASYNC220
    try:
        demo = await _demo(data)
        credit = [*RUXA, "org", "credit", demo["organisation"], "--micros", "500000000", "--reason", "bench"]
        subprocess.run([*credit, "--data", str(data)], check=True, stdout=log, stderr=log, cwd=place)  # noqa: ASYNC221
        gateway = _gateway(server.pid)
        best: dict[tuple[str, str], float] = {}
        for _ in range(given.rounds + 1):  # the first warms up
            for caller in DIALECTS:
                for provider in DIALECTS:
                    took = await _streams(demo, gateway, caller, provider, given.streams)
                    key = (caller, provider)
                    best[key] = min(best.get(key, took), took)
        return tell(best, given)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        sandbox.terminate()
        sandbox.wait(10)
        log.close()


def _provider(dialect: str, upstream: str) -> str:
    name = f"only-{SHORT[dialect].lower()}"
    return (
        f'[providers.{name}]\nbase_url = "{upstream}{BASES[dialect]}"\ndialect = "{dialect}"\nkey = "env:BENCH_KEY"\n'
        f'[models."{name}/chat"]\nupstream_model = "sandbox/chat"\n'
        "input_micros_per_mtok = 1000\noutput_micros_per_mtok = 1000\noutput_tokens_max = 4096\n"
    )


async def _demo(data: Path) -> dict[str, Any]:
    for _ in range(1200):
        if (data / "demo.json").exists() and (data / "run" / "server.json").exists():
            demo: dict[str, Any] = json.loads((data / "demo.json").read_text())
            demo["base_url"] = json.loads((data / "run" / "server.json").read_text())["base_url"] or demo["base_url"]
            return demo
        await asyncio.sleep(0.1)
    raise SystemExit("the server did not start")


def _gateway(supervisor: int) -> int:
    """The process id of the one gateway worker."""
    for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        if b"gateway" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise SystemExit("no gateway worker found")


def _cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _streams(demo: dict[str, Any], gateway: int, caller: str, provider: str, streams: int) -> float:
    """Microseconds of the gateway's CPU an event: several waves, since the kernel counts in hundredths of a second."""
    waves = 5
    before = _cpu_s(gateway)
    for _ in range(waves):
        await asyncio.gather(*(_stream(demo, caller, provider) for _ in range(streams)))
    return (_cpu_s(gateway) - before) * 1e6 / (waves * streams * EVENTS)


async def _stream(demo: dict[str, Any], caller: str, provider: str) -> None:
    path, body = _request(caller, f"only-{SHORT[provider].lower()}/chat")
    host, port = demo["base_url"].removeprefix("http://").split(":")
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {demo['api_key']}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        + data
    )
    answer = await reader.read(-1)
    writer.close()
    ends = {
        "openai_chat": b"[DONE]",
        "openai_responses": b"response.completed",
        "anthropic_messages": b"message_stop",
        "gemini_generate": b"finishReason",
    }
    if not answer.startswith(b"HTTP/1.1 200") or ends[caller] not in answer[-4096:]:
        raise SystemExit(f"{caller} at {provider}: {answer[:600]!r} ... {answer[-300:]!r}")


def _request(caller: str, model: str) -> tuple[str, dict[str, Any]]:
    if caller == "openai_chat":
        return "/v1/chat/completions", {
            "model": model,
            "stream": True,
            "max_tokens": 1000,
            "messages": [{"role": "user", "content": MARKS}],
        }
    if caller == "openai_responses":
        return "/v1/responses", {"model": model, "stream": True, "max_output_tokens": 1000, "input": MARKS}
    if caller == "anthropic_messages":
        return "/v1/messages", {
            "model": model,
            "stream": True,
            "max_tokens": 1000,
            "messages": [{"role": "user", "content": MARKS}],
        }
    return f"/v1beta/models/{model}:streamGenerateContent?alt=sse", {
        "contents": [{"role": "user", "parts": [{"text": MARKS}]}],
        "generationConfig": {"maxOutputTokens": 1000},
    }


def tell(best: dict[tuple[str, str], float], given: argparse.Namespace) -> int:
    """Prints the table; 0 when every pair is within the mark."""
    lines = ["| caller | provider | us an event | x relay |", "|---|---|---|---|"]
    worst = 0.0
    for (caller, provider), took in best.items():
        relay = best[caller, caller]
        ratio = took / relay
        worst = max(worst, ratio)
        shown = "relay" if caller == provider else f"{ratio:.2f}"
        lines.append(f"| {SHORT[caller]} | {SHORT[provider]} | {took:.1f} | {shown} |")
    lines.append("")
    lines.append(
        f"Worst pair {worst:.2f} x (mark {MARK_RATIO:.0f} x); {given.streams} streams of {EVENTS} events at a time, "
        f"best of {given.rounds + 1} rounds; load average {os.getloadavg()[0]:.1f}."
    )
    table = "\n".join(lines)
    print(table)
    if given.write:
        text = README.read_text()
        start, end = "<!-- translation -->\n", "<!-- /translation -->"
        README.write_text(re.sub(f"{start}.*?{end}", f"{start}{table}\n{end}", text, flags=re.DOTALL))
    return 0 if worst <= MARK_RATIO else 1


if __name__ == "__main__":
    raise SystemExit(main())
