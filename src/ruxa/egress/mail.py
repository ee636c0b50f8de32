"""Mail out by SMTP: STARTTLS unless the server is on this machine, headers that tell nothing about the sender's host.

The server's own words never leave this file: they quote the recipient. What failed is said by one of our errors -
UpstreamRefused when trying again is useless, UpstreamBusy, UpstreamTimeout or UpstreamBroken when it is not.
"""

from __future__ import annotations

import asyncio
import email.policy
import ipaddress
import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Final
from urllib.parse import unquote, urlsplit
from uuid import UUID

import msgspec

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

PURPOSE: Final = "communicate"
TIMEOUT_S: Final = 20


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One mail, ready: text first, HTML as the alternative. ``id`` makes the Message-ID, equal in every attempt."""

    id: UUID
    recipient: Sealed[str]
    locale: str
    subject: Sealed[str]
    text: Sealed[str]
    html: Sealed[str]


class Smtp:
    """One SMTP server: ``smtp://[user:password@]host[:port]``, or ``smtps://`` for TLS from the first byte."""

    def __init__(self, url: str, sender: str, clock: Clock, *, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        name, address = parseaddr(sender)
        local, _, domain = address.rpartition("@")
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or not local or not domain:
            raise InvalidCall("[mail] needs url = smtp://host:port and sender = Name <address>.", code="mail_settings")
        self.host: str = parts.hostname
        self.port: int = parts.port or (465 if parts.scheme == "smtps" else 587)
        self._implicit = parts.scheme == "smtps"
        self._user = unquote(parts.username) if parts.username else None
        self._password = Sealed(unquote(parts.password or ""))
        self._sender = Address(display_name=name, username=local, domain=domain)
        self._domain = domain
        self._clock = clock
        self._tls = tls or ssl.create_default_context()

    async def send(self, letter: Letter) -> None:
        """Hands the letter to the server; returning means that it was accepted. Raises one of UpstreamError's."""
        await asyncio.to_thread(self._send, self._message(letter))

    def _message(self, letter: Letter) -> EmailMessage:
        message = EmailMessage(policy=email.policy.SMTP)
        message["From"] = self._sender
        message["To"] = letter.recipient.open(PURPOSE)
        message["Subject"] = letter.subject.open(PURPOSE)
        message["Date"] = format_datetime(self._clock.now())
        message["Message-ID"] = f"<{letter.id.hex}@{self._domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.text.open(PURPOSE))
        message.add_alternative(letter.html.open(PURPOSE), subtype="html")
        message["Content-Language"] = letter.locale
        return message

    def _send(self, message: EmailMessage) -> None:
        failure: UpstreamError
        try:
            self._talk(message)
        except smtplib.SMTPResponseException as error:
            failure = _by_code(error.smtp_code)
        except smtplib.SMTPRecipientsRefused as error:
            failure = _by_code(max((code for code, _ in error.recipients.values()), default=550))
        except smtplib.SMTPNotSupportedError:
            failure = UpstreamRefused(
                "The mail server lacks what this mail needs.", status=422, code="mail_unsupported"
            )
        except TimeoutError:
            failure = UpstreamTimeout("The mail server did not answer in time.", code="mail_timeout")
        except ssl.SSLError:
            failure = UpstreamBroken("The mail server's TLS is not to be trusted.", code="mail_tls")
        except (smtplib.SMTPException, OSError) as error:
            # smtplib calls a silent server a disconnected one; what it was stands behind it.
            if isinstance(error.__context__, TimeoutError):
                failure = UpstreamTimeout("The mail server did not answer in time.", code="mail_timeout")
            else:
                failure = UpstreamBroken("The mail server broke off.", code="mail_broken")
        else:
            return
        # Raised out here, so that the server's words, which quote the recipient, are no context of it.
        raise failure

    def _talk(self, message: EmailMessage) -> None:
        # The name given in EHLO is the sender's domain: by default it would be this machine's own.
        with (
            smtplib.SMTP_SSL(self.host, self.port, self._domain, timeout=TIMEOUT_S, context=self._tls)
            if self._implicit
            else smtplib.SMTP(self.host, self.port, self._domain, timeout=TIMEOUT_S)
        ) as server:
            server.ehlo_or_helo_if_needed()
            if not self._implicit:
                if server.has_extn("starttls"):
                    server.starttls(context=self._tls)
                    server.ehlo()
                elif not _loopback(self.host):
                    raise ssl.SSLError("the server offers no STARTTLS")
            if self._user is not None:
                server.login(self._user, self._password.open(PURPOSE))
            server.send_message(message)


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _by_code(code: int) -> UpstreamError:
    """A reply of the server: 4yz asks to come again, 5yz is final (RFC 5321, 4.2.1), but for refusals to sign us in."""
    if code in (530, 534, 535, 538):
        return UpstreamBroken("The mail server refuses our sign-in.", code="mail_sign_in", detail=f"smtp={code}")
    if 500 <= code < 600:
        return UpstreamRefused(
            "The mail server refused this mail.", status=422, code="mail_refused", detail=f"smtp={code}"
        )
    return UpstreamBusy("The mail server asks to come again.", code="mail_busy", detail=f"smtp={code}")
