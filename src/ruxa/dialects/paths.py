"""Which dialect and endpoint a request speaks, by method, path, query and headers; and where its key is.

The paths of three vendors live side by side, with the prefixes that other gateways use (``/openai/v1``,
``/anthropic/v1``, ``/gemini/v1beta``) for a one-line move. A path under one of these roofs that is not served gets a
404 in the dialect of the path; any other path is none of ours (``None``).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

from ruxa.dialects.dialect import Endpoint, Name, Place
from ruxa.dialects.multipart import boundary_of
from ruxa.kernel.errors import CallerError, InvalidCall, NotFound

MODEL_CHARS_MAX = 256
PAGING = frozenset({"limit", "after_id", "before_id", "pageSize", "pageToken"})
PAGES = frozenset({"limit", "after", "order", "purpose", "stream"})
KEY_PREFIX = b"rx_"

# After the prefix: the exact paths, their endpoint, and whether they are asked with POST.
OPENAI: dict[str, Endpoint] = {
    "chat/completions": "chat",
    "completions": "completions",
    "embeddings": "embeddings",
}
RESPONSES: dict[str, Endpoint] = {"responses": "responses"}
MEDIA: dict[str, Endpoint] = {
    "images/generations": "images",
    "images/edits": "image_edits",
    "audio/speech": "speech",
    "audio/transcriptions": "transcriptions",
    "audio/translations": "translations",
    "moderations": "moderations",
}
ANTHROPIC: dict[str, Endpoint] = {"messages": "messages", "messages/count_tokens": "count_tokens"}
FORMS: frozenset[Endpoint] = frozenset({"image_edits", "transcriptions", "translations", "files"})
# What is kept here: below a roof its list, its items, and what is done with one; with the methods of each.
KEPT: dict[str, dict[str, tuple[Endpoint, tuple[bytes, ...]]]] = {
    "files": {
        "": ("files", (b"GET", b"POST")),
        "item": ("file", (b"GET", b"DELETE")),
        "/content": ("file_content", (b"GET",)),
    },
    "batches": {
        "": ("batches", (b"GET", b"POST")),
        "item": ("batch", (b"GET",)),
        "/cancel": ("batch_cancel", (b"POST",)),
    },
    "responses": {
        "": ("responses", (b"POST",)),
        "item": ("response", (b"GET", b"DELETE")),
        "/input_items": ("response_items", (b"GET",)),
        "/cancel": ("response_cancel", (b"POST",)),
    },
}
# The same of Anthropic's batches, below this path.
MESSAGE_BATCHES = "messages/batches"
KEPT_BATCHES: dict[str, tuple[Endpoint, tuple[bytes, ...]]] = {
    "": ("batches", (b"GET", b"POST")),
    "item": ("batch", (b"GET", b"DELETE")),
    "/cancel": ("batch_cancel", (b"POST",)),
    "/results": ("batch_results", (b"GET",)),
}
# Below the roof of responses, and no response.
_NO_ITEMS = frozenset({"input_tokens", "compact"})
METHODS: dict[str, tuple[Endpoint, bool]] = {
    "generateContent": ("generate", False),
    "streamGenerateContent": ("generate", True),
    "countTokens": ("count_tokens", False),
    "embedContent": ("embed", False),
    "batchEmbedContents": ("batch_embed", False),
}
TABLES: dict[Name, dict[str, Endpoint]] = {
    "openai_chat": OPENAI,
    "openai_responses": RESPONSES,
    "openai_media": MEDIA,
    "anthropic_messages": ANTHROPIC,
    "gemini_generate": {},
}
_PREFIXES: tuple[tuple[str, Name | None], ...] = (
    ("/openai/v1/", "openai_chat"),
    ("/anthropic/v1/", "anthropic_messages"),
    ("/gemini/v1beta/", "gemini_generate"),
    ("/gemini/v1/", "gemini_generate"),
    ("/v1beta/", "gemini_generate"),
    ("/v1/", None),
)
_EXACT: dict[bytes, Place] = {
    b"/v1/chat/completions": Place(dialect="openai_chat", endpoint="chat"),
    b"/openai/v1/chat/completions": Place(dialect="openai_chat", endpoint="chat"),
    b"/v1/responses": Place(dialect="openai_responses", endpoint="responses"),
    b"/openai/v1/responses": Place(dialect="openai_responses", endpoint="responses"),
    b"/v1/embeddings": Place(dialect="openai_chat", endpoint="embeddings"),
    b"/v1/messages": Place(dialect="anthropic_messages", endpoint="messages"),
    b"/anthropic/v1/messages": Place(dialect="anthropic_messages", endpoint="messages"),
}
_UPLOADS = frozenset(f"{base}/upload/{version}/files" for base in ("", "/gemini") for version in ("v1beta", "v1"))
_ROOT = Place(dialect="openai_chat", endpoint="root")


def locate(method: bytes, path: bytes, query: bytes, headers: Mapping[bytes, bytes]) -> Place | None:
    """The place of a request (raw path and query, lower-case header names), or None when no dialect owns the path.

    ``GET /`` and ``HEAD /`` are the place ``root``: answered with 200 without a key, unless a page is shown there.
    """
    if method == b"POST" and (place := _EXACT.get(path)) is not None:
        return place
    text = path.decode("latin-1")
    if text == "/":
        return _ROOT if method in (b"GET", b"HEAD") else None
    text = text.rstrip("/")
    if text in _UPLOADS:
        return _upload(method, query)
    for prefix, owner in _PREFIXES:
        if text.startswith(prefix):
            return _under(method, text[len(prefix) :], owner, query, headers)
        if text == prefix[:-1]:
            return _nothing(owner or "openai_chat", text)
    if text == "/responses":
        return _nothing("openai_responses", text, f"/v1{text}")
    if text in ("/chat/completions", "/completions", "/embeddings"):
        return _nothing("openai_chat", text, f"/v1{text}")
    if text in ("/messages", "/messages/count_tokens"):
        return _nothing("anthropic_messages", text, f"/v1{text}")
    return None


def _under(method: bytes, rest: str, owner: Name | None, query: bytes, headers: Mapping[bytes, bytes]) -> Place:
    """A path below a prefix; ``owner`` None: the roof that all three share (google-genai 3 asks below ``/v1``)."""
    if owner is None and (b"x-goog-api-key" in headers or b"x-goog-api-client" in headers or b"key=" in query):
        owner = "gemini_generate"
    if owner == "gemini_generate" or (
        owner is None and method == b"POST" and rest.startswith("models/") and ":" in unquote(rest)
    ):
        place = _gemini(method, rest, query)
        if place is not None and (owner is not None or place.endpoint != "none"):
            return place
    if owner is None:
        anthropic = rest == "messages" or rest.startswith("messages/") or b"anthropic-version" in headers
        owner = "anthropic_messages" if anthropic else "openai_chat"
    if rest == "models" or rest.startswith("models/"):
        return _models(method, rest, owner, query)
    if owner == "openai_chat" and (rest in MEDIA or rest.partition("/")[0] in KEPT):
        return _kept(method, rest, query, headers)
    if owner == "anthropic_messages" and (rest == MESSAGE_BATCHES or rest.startswith(MESSAGE_BATCHES + "/")):
        return _batches(method, rest, query)
    table = TABLES[owner]
    endpoint = table.get(rest)
    if endpoint is not None:
        return Place(dialect=owner, endpoint=endpoint) if method == b"POST" else _wrong_method(owner, method, "POST")
    twice = rest.partition("/")
    if twice[0] in ("v1", "v1beta") and twice[2]:
        if owner == "openai_chat" and twice[2].startswith("messages"):
            owner = "anthropic_messages"
        if owner == "openai_chat" and twice[2].startswith("responses"):
            owner = "openai_responses"
        return _nothing(owner, f"/v1/{rest}", f"/{rest}")
    return _nothing(owner, f"/v1/{rest}")


def _kept(method: bytes, rest: str, query: bytes, headers: Mapping[bytes, bytes]) -> Place:
    """OpenAI's endpoints beside chat; files, batches and responses are kept here, so each has a path of its own."""
    roof, _, below = rest.partition("/")
    owner: Name = "openai_responses" if roof == "responses" else "openai_media"
    if rest in MEDIA:
        known: tuple[Endpoint, tuple[bytes, ...]] | None = (MEDIA[rest], (b"POST",))
        item = ""
    else:
        item, _, verb = below.partition("/")
        known = KEPT[roof].get("/" + verb if verb else "item" if item else "")
    if known is None or len(item) > MODEL_CHARS_MAX or (owner == "openai_responses" and item in _NO_ITEMS):
        return _nothing(owner, f"/v1/{rest}")
    endpoint, methods = known
    if method not in methods:
        return _wrong_method(owner, method, " or ".join(name.decode() for name in methods))
    paging = {name: value for name, value in _asked(query).items() if name in PAGES}
    boundary = boundary_of(headers.get(b"content-type")) if endpoint in FORMS else ""
    return Place(dialect=owner, endpoint=endpoint, item=unquote(item), boundary=boundary, query=paging)


def _batches(method: bytes, rest: str, query: bytes) -> Place:
    """Anthropic's batches, which are kept here."""
    item, _, verb = rest[len(MESSAGE_BATCHES) + 1 :].partition("/")
    known = KEPT_BATCHES.get("/" + verb if verb else "item" if item else "")
    if known is None or len(item) > MODEL_CHARS_MAX or (verb and not item):
        return _nothing("anthropic_messages", f"/v1/{rest}")
    endpoint, methods = known
    if method not in methods:
        return _wrong_method("anthropic_messages", method, " or ".join(name.decode() for name in methods))
    paging = {name: value for name, value in _asked(query).items() if name in PAGING}
    return Place(dialect="anthropic_messages", endpoint=endpoint, item=unquote(item), query=paging)


def _gemini(method: bytes, rest: str, query: bytes) -> Place | None:
    if rest == "models" or (rest.startswith("models/") and method in (b"GET", b"HEAD")):
        return _models(method, rest, "gemini_generate", query)
    if rest.startswith("models/"):
        model, _, verb = unquote(rest[7:]).rpartition(":")
        known = METHODS.get(verb)
        if known is not None and model:
            if method != b"POST":
                return _wrong_method("gemini_generate", method, "POST")
            if len(model) > MODEL_CHARS_MAX:
                return _nothing("gemini_generate", "/v1beta/models/…")
            endpoint, stream = known
            array = stream and _asked(query).get("alt") != "sse"
            return Place(dialect="gemini_generate", endpoint=endpoint, model=model, stream=stream, array=array)
    if rest == "files" or rest.startswith("files/"):
        return _file(method, rest, query)
    hint = f"/{rest}" if rest.startswith(("v1beta/", "v1/")) else ""
    return _nothing("gemini_generate", f"/v1beta/{rest}", hint)


def _file(method: bytes, rest: str, query: bytes) -> Place:
    """Files that are kept here, as Google has them."""
    item = unquote(rest[6:])
    if rest == "files":
        if method not in (b"GET", b"HEAD"):
            return _wrong_method("gemini_generate", method, "GET; files are uploaded at /upload/v1beta/files")
        paging = {name: value for name, value in _asked(query).items() if name in PAGING}
        return Place(dialect="gemini_generate", endpoint="files", query=paging)
    if "/" in item or ":" in item or len(item) > MODEL_CHARS_MAX:
        return _nothing("gemini_generate", f"/v1beta/{rest}")
    if method not in (b"GET", b"DELETE"):
        return _wrong_method("gemini_generate", method, "GET or DELETE")
    return Place(dialect="gemini_generate", endpoint="file", item=item)


def _upload(method: bytes, query: bytes) -> Place:
    """Google's protocol for uploads. Its SDK begins with POST and goes on so; PUT is as good to the protocol."""
    if method not in (b"POST", b"PUT"):
        return _wrong_method("gemini_generate", method, "POST")
    said = {name: value for name, value in _asked(query).items() if name == "upload_id"}
    return Place(dialect="gemini_generate", endpoint="upload", query=said)


def _models(method: bytes, rest: str, owner: Name, query: bytes) -> Place:
    if method not in (b"GET", b"HEAD"):
        return _wrong_method(owner, method, "GET")
    paging = {name: value for name, value in _asked(query).items() if name in PAGING}
    if rest == "models":
        return Place(dialect=owner, endpoint="models", query=paging)
    return Place(dialect=owner, endpoint="model", model=unquote(rest[7:])[:MODEL_CHARS_MAX], query=paging)


def _nothing(owner: Name, path: str, hint: str = "") -> Place:
    shown = "".join(c if c.isprintable() else "?" for c in path[:200])
    meant = f" Did you mean {hint}? Check the base URL." if hint else ""
    return Place(
        dialect=owner,
        endpoint="none",
        refusal=NotFound(f"There is no endpoint at {shown}.{meant}", code="unknown_url"),
    )


def _wrong_method(owner: Name, method: bytes, right: str) -> Place:
    shown = method[:10].decode("latin-1")
    error: CallerError = InvalidCall(f"Not allowed to {shown} here; use {right}.", code="method_not_allowed")
    error.status = 405
    return Place(dialect=owner, endpoint="none", refusal=error)


def _asked(query: bytes) -> dict[str, str]:
    """The query's values by name; the first of a name counts; a query that cannot be read is empty."""
    values: dict[str, str] = {}
    try:
        for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=64):
            values.setdefault(name, value)
    except ValueError:
        return {}
    return values


def find_key(headers: Mapping[bytes, bytes], query: bytes) -> bytes | None:
    """The caller's key: Authorization Bearer, x-api-key, x-goog-api-key or ``?key=``. None when there is none.

    Of several, the first that has our format counts, else the first (some clients send a filler beside the real one).
    """
    bearer = headers.get(b"authorization")
    if bearer is not None:
        if bearer[:7].lower() == b"bearer ":
            bearer = bearer[7:].strip()
            if bearer.startswith(KEY_PREFIX):
                return bearer
        else:
            bearer = None
    found = [bearer, headers.get(b"x-api-key"), headers.get(b"x-goog-api-key")]
    if query and b"key=" in query:
        found.append(_asked(query).get("key", "").encode("latin-1", "replace"))
    keys = [key.strip() for key in found if key and key.strip()]
    return next((key for key in keys if key.startswith(KEY_PREFIX)), keys[0] if keys else None)
