"""Admit: who calls, and may they - the key, its expiry, its scope, its limits. No I/O for a known key."""

from __future__ import annotations

from collections.abc import Callable

from ruxa.access import conditions
from ruxa.access.grants import Grant
from ruxa.access.roles import Scope
from ruxa.dialects import DIALECTS, paths
from ruxa.dialects.dialect import Dialect, Endpoint, Forwarded, Place, Terms
from ruxa.dialects.headers import words
from ruxa.gateway.door import Request
from ruxa.gateway.snapshot import Entry
from ruxa.kernel.errors import Forbidden, InvalidCall, Unauthenticated

# Headers of ours: models that may stand in, and who may get the call.
MODELS = b"ruxa-models"
POLICY = b"ruxa-policy"
# Of answers that are kept: this call is to be made once; it may be answered by what was answered before.
ONCE = b"idempotency-key"
CACHE = b"ruxa-cache"
# Besides Authorization; of these names a call may carry one key.
KEY_HEADERS = (b"x-api-key", b"x-goog-api-key")

SCOPE_OF: dict[Endpoint, Scope | None] = {
    "chat": "chat",
    "completions": "chat",
    "responses": "chat",
    "response": "chat",
    "response_items": "chat",
    "response_cancel": "chat",
    "images": "images",
    "image_edits": "images",
    "speech": "audio",
    "transcriptions": "audio",
    "translations": "audio",
    "moderations": "chat",
    "files": "files",
    "file": "files",
    "upload": "files",
    "file_content": "files",
    "batches": "files",
    "batch": "files",
    "batch_cancel": "files",
    "batch_results": "files",
    "messages": "chat",
    "generate": "chat",
    "count_tokens": "chat",
    "embeddings": "embeddings",
    "embed": "embeddings",
    "batch_embed": "embeddings",
    "models": None,
    "model": None,
}


class Caller:
    """What a head alone says of a call; read once for all requests of a connection that repeat the head.

    secret: the key as it was sent; near: its hash in the snapshot; coded: the body is compressed; models: what may
    stand in for the model that the body names; conditions: its data policy; plain: neither was said; repeats: something
    is wanted of answers that are kept.
    """

    __slots__ = (
        "coded",
        "conditions",
        "dialect",
        "forwarded",
        "models",
        "near",
        "place",
        "plain",
        "repeats",
        "secret",
        "terms",
    )

    def __init__(
        self, request: Request, place: Place, near: Callable[[bytes], bytes], secret: bytes | None = None
    ) -> None:
        """secret: None when the request has it; what the house makes in a key's name has none."""
        self.place = place
        self.dialect: Dialect = DIALECTS[place.dialect]
        self.secret = secret_of(request) if secret is None else secret
        self.near = near(self.secret)
        self.coded = b"content-encoding" in request.headers
        self.models = tuple(words(request.headers, MODELS)) if MODELS in request.headers else ()
        self.conditions: tuple[str, ...] = ()
        if POLICY in request.headers:
            self.conditions = conditions.read(words(request.headers, POLICY))
        self.repeats = ONCE in request.headers or CACHE in request.headers
        self.plain = not self.models and not self.conditions
        self.terms: Terms | None = None
        self.forwarded = Forwarded()

    def forward(self, request: Request, terms: Terms) -> None:
        """Sets ``forwarded``: the caller's headers that go to a provider with those ``terms``."""
        self.forwarded = self.dialect.forward_headers(request.headers, terms)
        self.terms = terms


def secret_of(request: Request) -> bytes:
    """The caller's key. Raises Unauthenticated when there is none, or two different ones of ours in the headers.

    Beside a key of ours anything else is a filler that some SDK insists on. Of several keys of other forms the first
    counts.
    """
    headers = request.headers
    secret = paths.find_key(headers, request.query)
    if not secret:
        raise Unauthenticated(
            "No API key. Send it as Authorization: Bearer, x-api-key or x-goog-api-key.", code="missing_api_key"
        )
    for name in KEY_HEADERS:
        other = headers.get(name)
        if other is not None and other != secret and other.startswith(paths.KEY_PREFIX) and other.strip() != secret:
            raise Unauthenticated("Two different API keys in one call. Send one of them.", code="ambiguous_api_key")
    return secret


def refuse_coding(request: Request) -> None:
    """A body is taken as it is. Raises InvalidCall with status 415 for one that is compressed."""
    coding = request.headers.get(b"content-encoding")
    if coding is not None and coding.strip().lower() not in (b"", b"identity"):
        error = InvalidCall("Send the body without a Content-Encoding.", code="content_encoding")
        error.status = 415
        raise error


def refuse_expired(grant: Grant, now_ms: int) -> None:
    """Raises Unauthenticated once the key's time is over."""
    if grant.expires_at_ms is not None and now_ms >= grant.expires_at_ms:
        raise Unauthenticated("The API key has expired.", code="expired_api_key")


def admit(entry: Entry, endpoint: Endpoint, now_ms: int, now: float | None = None) -> None:
    """May this key call that endpoint now? Counts the call in. Raises Unauthenticated, Forbidden, Limited.

    now_ms: wall time; now: monotonic.
    """
    grant = entry.grant
    if grant.expires_at_ms is not None:
        refuse_expired(grant, now_ms)
    scope = SCOPE_OF[endpoint]
    if scope is not None and scope not in grant.scopes:
        raise Forbidden(f"This key has no scope for {scope}.", code="scope_missing")
    entry.limiter.enter(now)
