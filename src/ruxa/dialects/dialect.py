"""Dialect: the contract that every wire format fulfils, and the words that pass between a dialect and the pipeline.

A dialect is pure: bytes in, bytes and facts out. It reads a call's envelope, edits the envelope for a provider of the
same dialect, watches a stream, reads usage from an answer, and writes errors and model lists in the vendor's shape.
It never touches a socket, a clock or a file. Order of a relayed call::

    place = locate(method, path, query, headers)           # paths.py; place.refusal is an error in the path's dialect
    dialect = DIALECTS[place.dialect]
    envelope = dialect.read(place, body)                   # InvalidCall and friends
    patched = dialect.patch(envelope, upstream_model=..., pseudonym=..., terms=...)
    target = dialect.upstream_path(place, upstream_model)  # joined to the provider's base URL
    lines = dialect.forward_headers(headers, terms)        # allowed request headers, ready to send
    reader = dialect.stream(envelope)                      # or dialect.answer(envelope, body) for a whole answer
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from ruxa.dialects.body import Span
from ruxa.dialects.multipart import Part
from ruxa.dialects.usage import Usage
from ruxa.kernel.errors import NotFound, RuxaError

Name = Literal["openai_chat", "openai_responses", "openai_media", "anthropic_messages", "gemini_generate"]

Endpoint = Literal[
    "chat",  # openai_chat: chat/completions
    "completions",  # openai_chat: completions
    "embeddings",  # openai_chat: embeddings
    "responses",  # openai_responses: responses
    "response",  # openai_responses: ours; GET, DELETE (place.item)
    "response_items",  # openai_responses: ours
    "response_cancel",  # openai_responses: ours
    "images",  # openai_media: images/generations
    "image_edits",  # openai_media: images/edits
    "speech",  # openai_media: audio/speech
    "transcriptions",  # openai_media: audio/transcriptions
    "translations",  # openai_media: audio/translations
    "moderations",  # openai_media: moderations
    "files",  # openai_media, gemini_generate: ours; POST uploads (not Gemini), GET lists
    "upload",  # gemini_generate: ours; begins an upload, or goes on with it (place.query upload_id)
    "file",  # openai_media, gemini_generate: ours; GET, DELETE (place.item)
    "file_content",  # openai_media: ours
    "batches",  # openai_media, anthropic_messages: ours; POST creates, GET lists
    "batch",  # openai_media: ours (place.item); anthropic_messages: DELETE too
    "batch_cancel",  # openai_media, anthropic_messages: ours
    "batch_results",  # anthropic_messages: ours
    "messages",  # anthropic_messages: messages
    "count_tokens",  # anthropic_messages, gemini_generate: free of charge
    "generate",  # gemini_generate: generateContent, streamGenerateContent (place.stream)
    "embed",  # gemini_generate: embedContent
    "batch_embed",  # gemini_generate: batchEmbedContents
    "models",  # every dialect: the list
    "model",  # every dialect: one model (place.model)
    "root",  # HEAD / and GET /: answered without a key
    "none",  # a path of this dialect that is not served: place.refusal says why
]

Finish = Literal["stop", "length", "tool", "filter", "pause", "error", "other"]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes: dialect, endpoint, and what the path and the query already say.

    model: the model named in the path ('' when the body names it); stream: the path asks for a stream; array: that
    stream is a JSON array, not SSE; refusal: set when the endpoint is ``none`` (404 or 405, to be rendered by the
    dialect); query: paging of model lists (``limit``, ``after_id``, ``before_id``, ``pageSize``, ``pageToken``); item:
    the id that the path names; boundary: of a body that is a form.
    """

    dialect: Name
    endpoint: Endpoint
    model: str = ""
    stream: bool = False
    array: bool = False
    refusal: RuxaError | None = None
    query: dict[str, str] = {}
    item: str = ""
    boundary: str = ""


class Load(msgspec.Struct, kw_only=True):
    """What a hold needs to know of a call (decision D21): sizes and counts, never content.

    text_bytes: bytes of the content fields as sent, without base64 media; images, documents, audios, videos: media
    parts by kind; media_bytes: their base64 bytes; file_ids: references to files kept at the provider; choices: how
    many answers are asked for; output_cap: the caller's bound on output tokens, None when there is none;
    reasoning: the call may think (asked for, or not switched off); inputs: texts to embed; characters: of a text to be
    spoken; audio_s: the most seconds that an audio file can last; pixels, quality: of each image to be made, 0 and ''
    where the model decides; partials: of it, sent before it is done.
    """

    text_bytes: int = 0
    images: int = 0
    documents: int = 0
    audios: int = 0
    videos: int = 0
    media_bytes: int = 0
    file_ids: int = 0
    choices: int = 1
    output_cap: int | None = None
    reasoning: bool = False
    audio_output: bool = False
    image_output: bool = False
    inputs: int = 0
    characters: int = 0
    audio_s: int = 0
    pixels: int = 0
    quality: str = ""
    partials: int = 0


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A value that changes the price or names a further recipient, so that it needs permission (decision D11).

    kind: price | recipient; name: what must be allowed (``service_tier:flex``, ``tool:web_search``, ``url:image``,
    ``file_id``); param: path of the field in the body; uses: the most that can happen (``max_uses``), None = unbounded.
    """

    kind: Literal["price", "recipient"]
    name: str
    param: str
    uses: int | None = None


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a target permits: names of claims, unknown top-level fields and beta headers that may pass.

    allowed: claim names (exact, ``tool:*`` for all of a kind, ``*`` for all); pass_fields: top-level names to pass;
    drop_fields: top-level names this provider refuses (never sent, not even by us); pass_betas: beta header values to
    pass beyond the table; own_key: the customer's own provider key, where unknown
    fields pass.
    """

    allowed: frozenset[str] = frozenset()
    pass_fields: frozenset[str] = frozenset()
    drop_fields: frozenset[str] = frozenset()
    pass_betas: frozenset[str] = frozenset()
    own_key: bool = False


class Envelope(msgspec.Struct, kw_only=True):
    """A call as far as Ruxa reads it: the body, its members, and their places (``spans``; None: compact).

    model: the public model name asked for; stream: the caller wants a stream; array: as a JSON array (Gemini);
    include_usage: the caller asked for the usage chunk (OpenAI); claims: what needs permission; unknown: top-level
    names outside the table; identities: fields that hold an identity of the caller's own users; shape: how it was
    read, if not member by member (then ``members`` are its settings alone); parts: of a form, which has no members;
    binary: the answer is bytes of a type that the provider names, no events, and tells no figures.
    """

    place: Place
    body: bytes
    members: dict[str, msgspec.Raw]
    spans: list[Span] | None = None
    model: str
    stream: bool = False
    array: bool = False
    include_usage: bool = False
    load: Load
    claims: tuple[Claim, ...] = ()
    unknown: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    shape: Known | None = None
    parts: tuple[Part, ...] = ()
    binary: bool = False


class Patched(msgspec.Struct, kw_only=True):
    """The body for the provider as pieces in order (no piece is a copy of content), and what was changed.

    dropped: names for ``ruxa-lossy``; replaced: identity fields for ``ruxa-privacy``; length: bytes in all;
    content_type: of a form; b'' for JSON.
    """

    pieces: list[bytes | memoryview]
    length: int
    dropped: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    content_type: bytes = b""


class Known(Protocol):
    """How the body of an envelope was known again (``shape.Shape``). kept: what its user keeps beside it."""

    kept: Any

    def patch(self, envelope: Envelope, upstream_model: str, terms: Terms) -> Patched:
        """The provider's body, as the dialect would make it."""
        ...


class Patch(Protocol):
    """A dialect's edit of a body."""

    def __call__(
        self, envelope: Envelope, *, upstream_model: str, pseudonym: Callable[[str], str], terms: Terms
    ) -> Patched:
        """See ``Dialect.patch``."""
        ...


class Shaping(msgspec.Struct, frozen=True):
    """How a dialect's calls are known again. content: the member that differs from call to call, an array.

    weigh: counts the media of that array into a load and names what needs permission.
    """

    content: str
    read: Callable[[Place, bytes], Envelope]
    patch: Patch
    weigh: Callable[[msgspec.Raw, Load], tuple[Claim, ...]]


class Forwarded(msgspec.Struct, frozen=True, kw_only=True):
    """Request headers that may go out: ``lines`` ready as ``Name: value\\r\\n``; dropped: names for ``ruxa-lossy``."""

    lines: bytes = b""
    dropped: tuple[str, ...] = ()


class Answer(msgspec.Struct, kw_only=True):
    """What a whole (not streamed) answer says: usage and finish; error when a 200 carries one or is no answer.

    counted: the provider told no figures, and these are an estimate.
    """

    usage: Usage | None = None
    finish: Finish | None = None
    error: RuxaError | None = None
    counted: bool = False


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """An error or list ready to send: status, header lines without framing headers, body."""

    status: int
    headers: bytes
    body: bytes


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """One public model for the lists: created and released are unix seconds; limits in tokens, None = unknown."""

    name: str
    owner: str = "ruxa"
    display_name: str = ""
    description: str = ""
    created_s: int = 0
    input_tokens_max: int | None = None
    output_tokens_max: int | None = None
    embeds: bool = False
    thinks: bool = False


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's own limits for the rate-limit headers; None = no such limit. reset_s: seconds until full again."""

    requests: int | None = None
    requests_left: int | None = None
    requests_reset_s: int = 0
    tokens: int | None = None
    tokens_left: int | None = None
    tokens_reset_s: int = 0
    reset_at: str = ""  # RFC 3339, for dialects that tell a time instead of seconds; '' = leave those headers out


class Reader(Protocol):
    """One answer stream as it passes. Cut anywhere; only whole events leave, so that an error can always follow.

    finish: how it ended; error: what the provider said went wrong; peek: ``waiting`` until the
    first frame that means something, then ``meaningful`` or ``error`` (decision D15); done: the terminal event came,
    so the stream is complete; events: output-carrying events that went by.
    """

    peek: Literal["waiting", "meaningful", "error"]
    finish: Finish | None
    error: RuxaError | None
    done: bool
    events: int

    @property
    def usage(self) -> Usage | None:
        """The provider's figures so far, None when it told none."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Bytes from the provider in, bytes for the caller out (often the very same object, or b'')."""
        ...

    def end(self) -> bytes:
        """The provider's stream ended: the rest for the caller. Sets ``error`` when it ended before its end."""
        ...

    def fail(self, error: RuxaError, request_id: str) -> bytes:
        """The dialect's own terminal error event, to be written after what has gone out; nothing may follow it."""
        ...

    def heartbeat(self) -> bytes:
        """Bytes that keep proxies awake and mean nothing; b'' where the shape allows none now."""
        ...

    def counted(self) -> Usage:
        """An estimate of the output from what passed, when the provider's figures never came (input is 0)."""
        ...


class Dialect(Protocol):
    """One wire format."""

    name: Name
    content_type: bytes  # of whole answers and errors
    stream_type: bytes  # of streams (SSE); a Gemini array has ``content_type``
    shaping: Shaping | None  # how calls of equal settings are known again (``shape.py``); None: they are not

    def read(self, place: Place, body: bytes) -> Envelope:
        """The envelope of a call. Raises InvalidCall (``duplicate_field``, ``too_deep``, wrong types with param)."""
        ...

    def refuse(self, envelope: Envelope, terms: Terms) -> None:
        """Raises Unsupported naming the first claim that ``terms`` does not allow; otherwise nothing."""
        ...

    def patch(
        self,
        envelope: Envelope,
        *,
        upstream_model: str,
        pseudonym: Callable[[str], str],
        terms: Terms,
        output_cap: int | None = None,
    ) -> Patched:
        """The provider's body. ``pseudonym`` turns an identity into its stand-in, once per identity field.

        ``output_cap`` replaces the caller's cap (only in low-balance mode, D21). Calls ``refuse`` first.
        """
        ...

    def upstream_path(self, place: Place, upstream_model: str) -> bytes:
        """Path and query after the provider's base URL, which ends with the version (``/v1``, ``/v1beta``)."""
        ...

    def forward_headers(self, headers: Mapping[bytes, bytes], terms: Terms) -> Forwarded:
        """The caller's headers that go to the provider (lower-case names in), by allow-list."""
        ...

    def stream(self, envelope: Envelope) -> Reader:
        """A fresh reader for one attempt."""
        ...

    def answer(self, envelope: Envelope, body: bytes) -> Answer:
        """Usage and finish of a whole answer of status 2xx."""
        ...

    def upstream_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> RuxaError:
        """A provider's answer outside 2xx (header names lower-case) as an error of ours, without its raw text."""
        ...

    def error(self, error: RuxaError, request_id: str) -> Rendered:
        """An error in the vendor's own shape, ``x-request-id`` and ``retry-after`` included."""
        ...

    def unknown_model(self, name: str) -> NotFound:
        """The vendor's own words for a model that does not exist or that the key may not use (W68)."""
        ...

    def models(self, place: Place, cards: Sequence[ModelCard]) -> Rendered:
        """The model list (all cards the key may use, in order), paged as the vendor does."""
        ...

    def model(self, place: Place, cards: Sequence[ModelCard]) -> Rendered:
        """One model by ``place.model``. Raises NotFound."""
        ...

    def limit_headers(self, allowance: Allowance) -> bytes:
        """``ratelimit-*`` and the dialect's own names, ready as header lines; b'' without limits."""
        ...
