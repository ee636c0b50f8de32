"""What goes round every answer of the console: request id, security headers, allowed hosts, same-origin writes.

Nothing is loaded from anywhere but this origin and nothing inline runs. The session cookie is ``__Host-ruxa`` (Secure,
HttpOnly, SameSite=Lax, no Domain) wherever the public address is https. On plain http, which is the loopback demo or an
operator's own network, a browser would refuse that prefix, so there the cookie is ``ruxa`` without Secure; everything
else stays the same. Before sign-in no cookie is set at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from litestar.datastructures import Cookie, Headers
from litestar.types import Message, Scope

from ruxa.kernel import ids
from ruxa.kernel.errors import Forbidden, InvalidCall, NotFound

CSP = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
# The pages whose forms may lead on to a payment processor's own page.
PAYING = "/billing"

_CSP = b"content-security-policy"

SECURITY: tuple[tuple[bytes, bytes], ...] = (
    (_CSP, CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), browsing-topics=()"),
)
HSTS = (b"strict-transport-security", b"max-age=31536000")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
REQUEST_ID = "request_id"


_KEPT = "keep=session seal=none erase=delete export=no"
# Every cookie we set, without a __Host- prefix: its class of the policy, and what it holds in the data map's grammar.
COOKIES: dict[str, tuple[str, str]] = {
    "ruxa": (
        "essential",
        "data: category=user.device.cookie_id subject=member purpose=provide,security"
        f" basis=contract,legitimate_interest {_KEPT}:secret",
    ),
    "ruxa_ticket": (
        "essential",
        "data: category=user.device.cookie_id subject=visitor purpose=security"
        f" basis=legitimate_interest {_KEPT}:secret",
    ),
    "age": ("essential", "data: none"),
    "language": (
        "essential",
        f"data: category=user.demographic.language subject=visitor purpose=provide basis=contract {_KEPT}:operational",
    ),
    "theme": (
        "essential",
        f"data: category=user.account.settings subject=visitor purpose=provide basis=contract {_KEPT}:operational",
    ),
}


def plain_name(name: str) -> str:
    """A cookie's name as the list has it, whether its address is https or not."""
    return name.removeprefix("__Host-").replace("-", "_")


def cookie_name(base_url: str) -> str:
    """The session cookie's name on this public address."""
    return "__Host-ruxa" if base_url.startswith("https://") else "ruxa"


def ticket_name(base_url: str) -> str:
    """The cookie by which a sign-up's own browser is known again, while its link lives."""
    return "__Host-ruxa-ticket" if base_url.startswith("https://") else "ruxa_ticket"


def cookie(base_url: str, name: str, value: str, max_age_s: int, *, script: bool = False) -> Cookie:
    """A cookie under the rules of the module docstring; ``max_age_s`` 0 deletes it. Only a declared one is set."""
    assert plain_name(name) in COOKIES, name
    return Cookie(
        key=name,
        value=value,
        path="/",
        max_age=max_age_s,
        secure=base_url.startswith("https://"),
        httponly=not script,
        samesite="lax",
    )


AGE_COOKIE = "age"


def age_cookie(base_url: str) -> Cookie:
    """Says for this browser session that its user is under age: one word, no identifier, nothing stored with us."""
    return Cookie(
        key=AGE_COOKIE, value="under", path="/", secure=base_url.startswith("https://"), httponly=True, samesite="lax"
    )


def hosts(base_url: str) -> frozenset[str] | None:
    """The Host names we answer to (without port): the public one, or any loopback name; None for any.

    Answering to a foreign name on loopback would let a web page reach us by rebinding its own name.
    """
    name = _name(urlsplit(base_url).netloc)
    if name in LOOPBACK:
        return LOOPBACK
    return None if name in ("0.0.0.0", "[::]") else frozenset({name})  # noqa: S104


def _name(netloc: str) -> str:
    host = netloc.rpartition("@")[2].lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def same_origin(headers: Headers) -> None:
    """Raises Forbidden unless a browser says that the request comes from a page of this very origin.

    ``Sec-Fetch-Site`` is believed where it is sent; otherwise ``Origin`` has to name our own host. A request with
    neither is no browser's and belongs to the API with a key.
    """
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if site is not None and site != "same-origin":
        raise Forbidden("This form was sent from another site.", code="foreign_origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        raise Forbidden("This form was sent from another site.", code="foreign_origin")
    if site is None and origin is None:
        raise Forbidden("The request does not say which page it comes from.", code="origin_missing")


def request_id(scope: Scope) -> str:
    """The id of this request, as the answer's ``x-request-id`` shows it: the door's where it gave one."""
    state: dict[str, object] = scope["state"]
    shown = state.get(REQUEST_ID)
    if shown is None:
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        shown = state[REQUEST_ID] = _known_id(given) or ids.text("req", ids.fresh())
    return str(shown)


class Edge:
    """Puts the request id and the security headers on every answer; knows the hosts we answer to.

    leads_to: origins that a form of the billing pages may lead on to: the payment processors', and nothing else.
    """

    def __init__(self, base_url: str, leads_to: Iterable[str] = ()) -> None:
        self._hosts = hosts(base_url)
        self._extra = (*SECURITY, HSTS) if base_url.startswith("https://") else SECURITY
        forms = " ".join(("form-action 'self'", *sorted(set(leads_to))))
        self._paying = (_CSP, CSP.replace("form-action 'self'", forms).encode())

    async def before_send(self, message: Message, scope: Scope) -> None:
        """Completes the head of an answer; a route's own value of a header stands."""
        if message["type"] != "http.response.start":
            return
        own = [(name.lower(), value) for name, value in message.get("headers", ())]
        names = {name for name, _ in own}
        path: str = scope["path"]
        if _CSP not in names and (path == PAYING or path.startswith(PAYING + "/")):
            own.append(self._paying)
            names.add(_CSP)
        own.extend((name, value) for name, value in self._extra if name not in names)
        if b"cache-control" not in names:
            own.append((b"cache-control", b"no-store"))
        own.append((b"x-request-id", request_id(scope).encode()))
        message["headers"] = own

    def refuse_host(self, headers: Headers) -> None:
        """Raises InvalidCall when the Host header names a host that is not ours."""
        if self._hosts is not None and _name(headers.get("host", "")) not in self._hosts:
            raise InvalidCall("This server does not answer to that host name.", code="unknown_host")


def _known_id(value: bytes) -> str | None:
    """The door's own request id when it is one; anything else a caller sends is ignored."""
    try:
        shown = value.decode("ascii")
        return shown if ids.read("req", shown).version == 7 else None
    except (ValueError, NotFound):
        return None
