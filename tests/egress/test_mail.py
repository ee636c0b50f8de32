"""Mail by SMTP against a real server: TLS or nothing, headers that tell nothing, errors that quote nobody."""

from __future__ import annotations

import asyncio
import datetime
import email
import email.message
import email.policy
import ipaddress
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ruxa.egress import mail
from ruxa.egress.mail import Letter, Smtp
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import (
    InvalidCall,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
)
from ruxa.kernel.sealed import Sealed

SENDER = "Ruxa <no-reply@ruxa.example>"
CANARY = "canary.7f3a91@receiver.example"


class Mailbox:
    """What a real SMTP server was told; ``rcpt`` and ``data`` are its answers."""

    def __init__(self) -> None:
        self.rcpt = "250 OK"
        self.data = "250 OK"
        self.got: list[Envelope] = []
        self.ehlo: list[str] = []
        self.tls: list[bool] = []
        self.login: list[LoginPassword] = []

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, said: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.ehlo.append(hostname)
        return said

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.got.append(envelope)
        self.tls.append(session.ssl is not None)
        return self.data

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: object
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.login.append(given)
        return AuthResult(success=given.password == b"right p@ss", handled=False)

    def message(self) -> email.message.EmailMessage:
        content = self.got[-1].content
        assert isinstance(content, bytes)
        return email.message_from_bytes(content, policy=email.policy.default)  # type: ignore[return-value]


Serve = Callable[..., Awaitable[int]]


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
async def serve(mailbox: Mailbox) -> AsyncIterator[Serve]:
    """Starts aiosmtpd on a free loopback port; keyword arguments are its own."""
    servers: list[asyncio.Server] = []

    async def start(*, implicit: ssl.SSLContext | None = None, **options: object) -> int:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: SMTP(mailbox, enable_SMTPUTF8=True, hostname="mx.test", loop=loop, **options),  # type: ignore[arg-type]
            "127.0.0.1",
            0,
            ssl=implicit,
        )
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's TLS for 127.0.0.1, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    directory: Path = tmp_path_factory.mktemp("tls")
    pem = directory / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))


def letter() -> Letter:
    return Letter(
        id=uuid4(),
        recipient=Sealed(CANARY),
        locale="zh",
        subject=Sealed("请确认 – confirm"),
        text=Sealed("Hello Grace,\n\nhttp://127.0.0.1:8000/verify/abc\n\n" + "long line " * 200 + "\n"),
        html=Sealed("<!doctype html><p>Hello Grace</p>"),
    )


def smtp(port: int, *, scheme: str = "smtp", user: str = "", tls: ssl.SSLContext | None = None) -> Smtp:
    return Smtp(f"{scheme}://{user}127.0.0.1:{port}", SENDER, Clock(), tls=tls)


async def refused(sender: Smtp, expected: type[UpstreamError]) -> str:
    """The code of the failure; its whole text, with everything chained to it, quotes nobody."""
    with pytest.raises(expected) as caught:
        await sender.send(letter())
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__dict__)
    assert "canary" not in told.replace("CANARY", "")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value.code


async def test_a_letter_arrives_text_first_with_headers_that_tell_nothing(serve: Serve, mailbox: Mailbox) -> None:
    sent = letter()
    await smtp(await serve()).send(sent)
    envelope, message = mailbox.got[0], mailbox.message()
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@ruxa.example", [CANARY])
    assert {name.lower() for name in message} == {
        "from", "to", "subject", "date", "message-id", "auto-submitted", "content-language", "mime-version",
        "content-type",
    }  # fmt: skip
    assert message["Message-ID"] == f"<{sent.id.hex}@ruxa.example>"
    assert message["Subject"] == "请确认 – confirm"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"
    parts = list(message.iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    assert "http://127.0.0.1:8000/verify/abc" in parts[0].get_content()  # type: ignore[attr-defined]
    # Neither this machine's name nor its user is in what went out.
    raw = bytes(envelope.content or b"")
    assert socket.gethostname().encode() not in raw
    assert mailbox.ehlo == ["ruxa.example"]
    assert max(len(line) for line in raw.splitlines()) <= 998


async def test_the_same_letter_keeps_its_message_id(serve: Serve, mailbox: Mailbox) -> None:
    sender, sent = smtp(await serve()), letter()
    for _ in range(2):
        await sender.send(sent)
    ids = {email.message_from_bytes(bytes(one.content or b""))["Message-ID"] for one in mailbox.got}
    assert len(ids) == 1


async def test_starttls_is_used_when_offered(
    serve: Serve, mailbox: Mailbox, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    await smtp(await serve(tls_context=contexts[0]), tls=contexts[1]).send(letter())
    assert mailbox.tls == [True]


async def test_smtps_is_tls_from_the_first_byte(
    serve: Serve, mailbox: Mailbox, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    await smtp(await serve(implicit=contexts[0]), scheme="smtps", tls=contexts[1]).send(letter())
    assert len(mailbox.got) == 1


async def test_a_certificate_that_is_not_trusted_gets_nothing(
    serve: Serve, mailbox: Mailbox, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    assert await refused(smtp(await serve(tls_context=contexts[0])), UpstreamBroken) == "mail_tls"
    assert mailbox.got == []


async def test_without_starttls_nothing_leaves_this_machine(
    serve: Serve, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "_loopback", lambda host: False)
    assert await refused(smtp(await serve()), UpstreamBroken) == "mail_tls"
    assert mailbox.got == []


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("localhost.example.com", False)],
)
def test_what_counts_as_this_machine(host: str, here: bool) -> None:
    assert mail._loopback(host) is here


async def test_signs_in_and_a_wrong_password_is_our_fault(
    serve: Serve, mailbox: Mailbox, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    port = await serve(authenticator=mailbox.authenticate, auth_required=True, tls_context=contexts[0])
    await smtp(port, user="me%40here:right%20p%40ss@", tls=contexts[1]).send(letter())
    assert mailbox.login[-1] == LoginPassword(b"me@here", b"right p@ss")
    sender = smtp(port, user="me:wrong-canary@", tls=contexts[1])
    assert await refused(sender, UpstreamBroken) == "mail_sign_in"
    assert "wrong-canary" not in repr(vars(sender))


async def test_the_servers_answers_say_whether_to_come_again(serve: Serve, mailbox: Mailbox) -> None:
    sender = smtp(await serve())
    for rcpt, data, error, code in (
        (f"550 5.1.1 <{CANARY}> is nobody here", "250 OK", UpstreamRefused, "mail_refused"),
        (f"451 4.7.1 <{CANARY}> come again", "250 OK", UpstreamBusy, "mail_busy"),
        ("250 OK", f"554 5.6.0 {CANARY} refused", UpstreamRefused, "mail_refused"),
        ("250 OK", f"452 4.3.1 {CANARY} full", UpstreamBusy, "mail_busy"),
    ):
        mailbox.rcpt, mailbox.data = rcpt, data
        assert await refused(sender, error) == code


async def test_a_server_that_is_away_or_silent_or_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert await refused(smtp(port), UpstreamBroken) == "mail_broken"
    monkeypatch.setattr(mail, "TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert await refused(smtp(silent.getsockname()[1]), UpstreamTimeout) == "mail_timeout"

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.test\r\n")
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        assert await refused(smtp(server.sockets[0].getsockname()[1]), UpstreamBroken) == "mail_broken"


@pytest.mark.parametrize(
    ("url", "sender"),
    [
        ("http://127.0.0.1:25", SENDER),
        ("smtp://", SENDER),
        ("outbox:", SENDER),
        ("smtp://127.0.0.1:25", "nobody"),
        ("smtp://127.0.0.1:25", "Ruxa <>"),
    ],
)
def test_wrong_settings_are_refused_at_the_start(url: str, sender: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        Smtp(url, sender, Clock())
    assert caught.value.code == "mail_settings"


def test_ports_follow_the_scheme() -> None:
    assert (Smtp("smtp://mx.test", SENDER, Clock()).port, Smtp("smtps://mx.test", SENDER, Clock()).port) == (587, 465)
