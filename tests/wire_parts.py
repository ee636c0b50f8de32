"""Real sockets for the tests of the door and of the upstream pool: a running door, a raw caller, a raw upstream."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ruxa.egress.http import Origin, Pool, Upstream
from ruxa.egress.recipient import Recipient, Register
from ruxa.egress.timers import Wheel
from ruxa.gateway import door as door_module
from ruxa.gateway.door import Door, DoorBounds, Render, Reply, Request, Screen, Serve
from ruxa.kernel.errors import RuxaError
from ruxa.kernel.signals import EVENTS, Field, Level

TICK_S = 0.05
SOMEBODY = Recipient(
    name="test",
    role="provider",
    who="a test",
    what=("user.content",),
    why=("provide",),
    where="unknown",
    safeguard="none",
)


@dataclass
class Told:
    """A sink that remembers."""

    events: list[tuple[str, dict[str, Field]]] = field(default_factory=list)

    def emit(self, event: str, level: Level = "info", **fields: Field) -> None:
        assert event in EVENTS, event
        assert fields.keys() <= EVENTS[event], fields
        self.events.append((event, fields))


def render(error: RuxaError, request: Request | None) -> tuple[int, bytes, bytes]:
    """Errors as plain text: ``code``."""
    return error.status, b"content-type: text/plain\r\nx-request-id: req_test\r\n", error.code.encode()


def echo(request: Request, reply: Reply) -> None:
    """Answers at once with what was understood."""
    names = b",".join(sorted(request.headers))
    said = b"|".join((request.method, request.path, request.query, names, request.body))
    reply.send(200, b"content-type: text/plain\r\n", said)


@dataclass
class Running:
    """A door that listens."""

    door: Door
    port: int
    told: Told
    wheel: Wheel

    async def caller(self) -> Caller:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        return Caller(reader, writer)

    async def said(self, data: bytes, within_s: float = 5) -> bytes:
        """Send ``data`` and return all that comes until the door closes or nothing comes for a moment."""
        async with self.calling() as caller:
            caller.writer.write(data)
            return await caller.all(within_s)

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[Caller]:
        caller = await self.caller()
        try:
            yield caller
        finally:
            await caller.close()


@dataclass
class Caller:
    """One raw connection to a door."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    seen: bytes = b""

    async def all(self, within_s: float = 5, quiet_s: float = 0.25) -> bytes:
        """What comes until the end of the stream, or until nothing comes for ``quiet_s``."""
        got = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            async with asyncio.timeout(within_s):
                while piece := await asyncio.wait_for(self.reader.read(1 << 20), quiet_s if got else within_s):
                    got += piece
        return got

    async def closed(self, within_s: float) -> bool:
        """Whether the other side ends the stream in time, whatever it says before."""
        try:
            async with asyncio.timeout(within_s):
                while await self.reader.read(1 << 20):
                    pass
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True
        return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@asynccontextmanager
async def opened(
    serve: Serve,
    *,
    limits: DoorBounds | None = None,
    screen: Screen | None = None,
    renderer: Render = render,
    port: int = 0,
    reuse_port: bool = True,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Running]:
    """A door, on a free port unless one is given."""
    told = Told()
    wheel = Wheel(tick_s=TICK_S)
    door = Door(serve, renderer, wheel=wheel, sink=told, limits=limits, screen=screen)
    try:
        port = await door.start("127.0.0.1", port, reuse_port=reuse_port, tls=tls)
        yield Running(door, port, told, wheel)
    finally:
        await door.close()
        wheel.stop()


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Provider:
    """A raw upstream and the pool's way to it."""

    upstream: Upstream
    pool: Pool
    port: int
    told: Told
    wheel: Wheel
    connections: list[asyncio.StreamWriter]
    calls: list[bytes]


async def read_call(reader: asyncio.StreamReader) -> bytes:
    """One request, head and body, as it came; empty at the end of the stream."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return b""
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            head += await reader.readexactly(int(line.split(b":")[1]))
    return head


@asynccontextmanager
async def provider(script: Script, *, declared: bool = True) -> AsyncIterator[Provider]:
    """A real listener that runs ``script`` for every connection, and a pool that knows it."""
    connections: list[asyncio.StreamWriter] = []
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await script(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    told = Told()
    wheel = Wheel(tick_s=TICK_S)
    register = Register(told)
    if declared:
        register.allow(SOMEBODY, "127.0.0.1", port)
    pool = Pool(register, wheel=wheel)
    upstream = pool.upstream(Origin(host="127.0.0.1", port=port, tls=False))
    try:
        yield Provider(upstream, pool, port, told, wheel, connections, [])
    finally:
        await pool.close()
        wheel.stop()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(what: Callable[[], object], within_s: float = 3) -> None:
    """Wait for a condition; fails when it does not come true in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while not what():
        assert loop.time() < end, "the condition did not come true in time"
        await asyncio.sleep(0.01)


class FakeTransport(asyncio.Transport):
    """Collects; only for cutting bytes at every place, which a real socket does not promise."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.over = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def writelines(self, list_of_data: object) -> None:
        self.sent += b"".join(list_of_data)  # type: ignore[arg-type]

    def write_eof(self) -> None:
        self.over = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.over = True

    def abort(self) -> None:
        self.over = True

    def is_closing(self) -> bool:
        return self.over

    def get_write_buffer_size(self) -> int:
        return 0


def deliver(door: Door, pieces: list[bytes]) -> FakeTransport:
    """Feed a connection of ``door`` piece by piece; returns what took its answers."""
    transport = FakeTransport()
    connection = door_module._Connection(door)  # type: ignore[attr-defined]
    connection.connection_made(transport)
    for piece in pieces:
        if transport.over:
            break
        connection.data_received(piece)
    connection.connection_lost(None)
    return transport


def authority(place: Path, name: str) -> tuple[Path, Path, Path]:
    """A private CA and a certificate of it for ``name``: (CA, certificate, key)."""
    now = datetime.datetime.now(datetime.UTC)

    def made(
        subject: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: str,
        signer: ec.EllipticCurvePrivateKey,
        *,
        ca: bool,
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
            .sign(signer, hashes.SHA256())
        )

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    paths = place / "ca.pem", place / "cert.pem", place / "key.pem"
    pem = serialization.Encoding.PEM
    paths[0].write_bytes(made("test authority", ca_key, "test authority", ca_key, ca=True).public_bytes(pem))
    paths[1].write_bytes(made(name, key, "test authority", ca_key, ca=False).public_bytes(pem))
    paths[2].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths
