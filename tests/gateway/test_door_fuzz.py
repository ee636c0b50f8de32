"""The door under generated input: where bytes are cut changes nothing, rubbish never breaks or hangs it, and where
its boundaries lie llhttp and nginx see them too."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
from pathlib import Path

import httptools
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ruxa.egress.timers import Wheel
from ruxa.gateway.door import Door
from ruxa.gateway.framing import Chunks
from ruxa.kernel.errors import RuxaError
from wire_cases import CONFORMANCE, statuses
from wire_parts import Running, Told, deliver, echo, opened, provider, read_call, render, until

NAMES = st.sampled_from([b"a", b"X-B", b"Accept", b"User-Agent", b"Cookie"])
VALUES = st.text('abc xyz,;="()/é', max_size=20).map(lambda text: text.encode("latin-1"))
# The door of these tests echoes; answers are told apart by their status lines.
BODIES = st.binary(max_size=300).filter(lambda body: b"HTTP/1.1" not in body)


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    headers = b"".join(b"%b: %b\r\n" % (draw(NAMES), draw(VALUES)) for _ in range(draw(st.integers(0, 5))))
    path = b"/" + draw(st.text("abc/%2.-_~", max_size=20)).encode()
    query = draw(st.sampled_from([b"", b"?", b"?a=b&c"]))
    head = b"%b %b%b HTTP/1.1\r\nHost: x\r\n%b" % (draw(st.sampled_from([b"POST", b"PUT"])), path, query, headers)
    body = draw(BODIES)
    if draw(st.booleans()):
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, draw(st.integers(1, 100)))
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def fresh() -> Door:
    return Door(echo, render, wheel=Wheel(), sink=Told())


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({place % (len(data) + 1) for place in places})
    return [piece for piece in (data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)) if piece]


def test_cuts_change_nothing(sizes: object) -> None:
    @settings(max_examples=sizes["property_examples"], deadline=None)  # type: ignore[index]
    @given(st.lists(requests(), min_size=1, max_size=4), st.lists(st.integers(0, 1 << 20), max_size=12))
    def check(asked: list[bytes], places: list[int]) -> None:
        data = b"".join(asked)
        whole = deliver(fresh(), [data])
        assert statuses(whole.sent) == [200] * len(asked)
        assert deliver(fresh(), cut(data, places)).sent == whole.sent

    check()


def test_rubbish_is_refused_and_nothing_breaks(sizes: object) -> None:
    table = [sent for sent, _, _ in CONFORMANCE.values() if len(sent) < 2000]

    @settings(max_examples=sizes["fuzz"], deadline=None, suppress_health_check=[HealthCheck.too_slow])  # type: ignore[index]
    @given(
        st.one_of(
            st.binary(max_size=200),
            st.tuples(st.sampled_from(table), st.integers(0, 400), st.binary(max_size=6), st.integers(0, 6)).map(
                lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + parts[3] :]
            ),
        ),
        st.lists(st.integers(0, 1 << 16), max_size=3),
    )
    @example(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\r\n", [])
    def check(data: bytes, places: list[int]) -> None:
        door = fresh()
        transport = deliver(door, cut(data, places))
        assert not door._sink.events  # type: ignore[attr-defined]
        assert door.connections == 0
        assert door.bodies_bytes == 0
        for status in statuses(transport.sent):
            assert status in {100, 200, 400, 405, 408, 413, 414, 417, 431, 501, 505}

    check()


class _Reader:
    def __init__(self) -> None:
        self.body: list[bytes] = []
        self.whole = False
        self.on_body = self.body.append

    def on_message_complete(self) -> None:
        self.whole = True


def test_our_chunks_are_llhttps_chunks(sizes: object) -> None:
    """What our reader takes for a complete chunked body, llhttp takes for the same one, of the same bytes."""

    @settings(max_examples=sizes["fuzz"], deadline=None)  # type: ignore[index]
    @given(
        st.tuples(BODIES, st.integers(1, 40), st.integers(0, 300), st.binary(max_size=4), st.integers(0, 4)),
        st.lists(st.integers(0, 1 << 16), max_size=4),
    )
    def check(parts: tuple[bytes, int, int, bytes, int], places: list[int]) -> None:
        body, size, at, put, drop = parts
        data = chunked(body, size)
        data = data[:at] + put + data[at + drop :]
        chunks = Chunks(10_000)
        rest: bytes | None = None
        fed_bytes = 0
        try:
            for piece in cut(data, places):
                fed_bytes += len(piece)
                rest = chunks.feed(piece)
                if rest is not None:
                    break
        except RuxaError:
            return
        if rest is None:
            return
        reader = _Reader()
        parser = httptools.HttpRequestParser(reader)
        parser.feed_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        parser.feed_data(data[: fed_bytes - len(rest)])
        assert reader.whole
        assert b"".join(reader.body) == bytes(chunks.body)

    check()


async def test_random_bytes_on_a_real_socket_do_not_hang_it(sizes: object) -> None:
    generator = random.Random(7)
    async with opened(echo) as running:
        for _ in range(40):
            async with running.calling() as caller:
                caller.writer.write(generator.randbytes(generator.randrange(1, 3000)) + b"\r\n\r\n")
                answer = await caller.all(5, 0.02)
                assert all(status >= 400 for status in statuses(answer)[-1:])
        assert statuses(await running.said(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")) == [200]
        await until(lambda: running.door.connections == 0, 8)


# Where the door and nginx 1.22 part: ours is the stricter one, but for OPTIONS *, which RFC 9110 asks for.
DIFFERS = {
    "options star": "nginx refuses it",
    "chunk size with space": "nginx takes it",
    "chunk line feed only": "nginx takes a bare line feed",
    "chunk extension bomb": "nginx swallows extensions of any length",
    "trailer bomb": "nginx swallows trailers for as long as they come",
    "bare line feeds": "nginx takes a bare line feed",
    "line feed in a header": "nginx takes a bare line feed",
    "no colon": "nginx drops the line",
    "odd name": "nginx drops the line",
    "control in a value": "nginx passes it on",
    "two x-api-key": "nginx passes both on",
    "two content types": "nginx passes both on",
    "no version": "nginx speaks HTTP/0.9",
    "no version, a trick": "nginx speaks HTTP/0.9",
    "no version, a trick in the query": "nginx speaks HTTP/0.9",
    "version 1.2": "nginx takes it for 1.1",
    "method unknown": "nginx passes it on",
    "two spaces": "nginx takes several spaces",
    "bytes over 127 in the url": "nginx takes them",
    "websocket": "nginx ignores an upgrade that it was not told to pass",
    "many headers": "nginx counts bytes, not headers",
    "expectation unknown": "nginx waits for the body",
}
SAME = [name for name in CONFORMANCE if name not in DIFFERS]


async def test_nginx_refuses_and_takes_the_same(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where an nginx is at hand (D50): what is not in ``DIFFERS`` it refuses or takes as we do."""
    nginx = shutil.which("nginx")
    if nginx is None:
        nginx = unpacked(tmp_path_factory)
    if nginx is None:
        return

    async def behind_nginx(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_call(reader):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with opened(echo) as ours, provider(behind_nginx) as behind:
        port = await free_port()
        (tmp_path / "nginx.conf").write_text(
            f"""worker_processes 1; daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/err;
            events {{ worker_connections 64; }}
            http {{ access_log off; client_max_body_size 32m; client_body_temp_path {tmp_path}/b;
            proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u;
            scgi_temp_path {tmp_path}/s;
            server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{behind.port};
            proxy_http_version 1.1; }} }} }}"""
        )
        process = subprocess.Popen(
            [nginx, "-p", f"{tmp_path}/", "-c", f"{tmp_path}/nginx.conf", "-e", f"{tmp_path}/err"]
        )
        try:
            await answers_at(port)
            there = Running(ours.door, port, ours.told, ours.wheel)
            wrong: list[str] = []
            for name in SAME:
                sent, expected, _ = CONFORMANCE[name]
                got = statuses(await there.said(sent, 3))
                if (expected[-1] < 400 and got != expected) or (expected[-1] >= 400 and not (got and got[-1] >= 400)):
                    wrong.append(f"{name}: nginx {got}, the table {expected}")
            assert not wrong
        finally:
            process.terminate()
            process.wait()


async def free_port() -> int:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    return int(port)


async def answers_at(port: int) -> None:
    for _ in range(100):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("nginx did not start")


def unpacked(places: pytest.TempPathFactory) -> str | None:
    """nginx unpacked without root, when Debian's packages can be reached."""
    place = places.mktemp("nginx")
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return None
    got = subprocess.run(["apt-get", "download", "nginx"], cwd=place, capture_output=True, timeout=30, check=False)
    for package in place.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(place)], check=True)
    binary = place / "usr/sbin/nginx"
    return str(binary) if got.returncode == 0 and binary.exists() else None
