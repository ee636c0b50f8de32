"""References to files that are kept here: found in a body of any dialect, and replaced by the files themselves.

Only the objects on the way to a reference are written anew; every other byte stays as it was sent. What a reference
becomes is the dialect's own form of the same thing with its data inside:

    OpenAI chat       {"type": "file", "file": {"file_id"}}       file_data, or an image_url part of an image
    OpenAI responses  {"type": "input_file" | "input_image"}      file_data, image_url
    Anthropic         {"type": "file", "file_id"} as a source     base64, or text of a plain text
    Gemini            {"fileData": {"fileUri"}}                   inlineData
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

import msgspec

from ruxa.dialects.dialect import Envelope, Name

# Google's files are named by an address, whichever host we were asked at; nobody else's files have such ids.
_URI = rb"(?:https?:(?:\\?/){2}[^\"/\\]+(?:\\?/gemini)?\\?/(?:v1beta|v1)\\?/)?files\\?/([0-9a-f]{32})"
_REFERENCE = re.compile(rb'"file_id"\s*:\s*"file_([0-9a-f]{32})"|"(?:fileUri|file_uri)"\s*:\s*"' + _URI + rb'"')
_OWN_URI = re.compile(_URI)
_CLAIMS = frozenset({"file_id", "url:file"})
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
_ANY = "application/octet-stream"
_TEXTS = frozenset({"text/plain", "text/markdown", "text/csv", "application/json", "application/jsonl"})

_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Inside(msgspec.Struct, frozen=True, kw_only=True):
    """A file to be put into a body."""

    name: str
    media_type: str
    data: bytes

    @property
    def url(self) -> bytes:
        """As a JSON string with a data URL."""
        return b'"data:%b;base64,%b"' % (self.media_type.encode(), base64.b64encode(self.data))


def named(envelope: Envelope) -> tuple[str, ...]:
    """The files that a call refers to by an id of ours, each once."""
    if not any(claim.name in _CLAIMS for claim in envelope.claims):
        return ()
    found = (one or other for one, other in _REFERENCE.findall(envelope.body))
    return tuple(dict.fromkeys(f"file_{digits.decode()}" for digits in found))


def expand(body: bytes, files: Mapping[str, Inside]) -> bytes:
    """The body with each reference to one of ``files`` replaced."""
    return _expand(body, files)


def _expand(value: bytes, files: Mapping[str, Inside]) -> bytes:
    if _REFERENCE.search(value) is None:
        return value
    if value.lstrip()[:1] == b"[":
        return b"[%b]" % b",".join(_expand(bytes(item), files) for item in _decode_list(value))
    members = {name: bytes(raw) for name, raw in _decode_object(value).items()}
    made = _replaced(members, files)
    if made is None:
        made = {name: _expand(raw, files) for name, raw in members.items()}
    return b"{%b}" % b",".join(b"%b:%b" % (_encode(name), raw) for name, raw in made.items())


def _replaced(members: Mapping[str, bytes], files: Mapping[str, Inside]) -> dict[str, bytes] | None:
    """An object that refers to a file, with the file inside; None: it does not."""
    kind = members.get("type", b"")
    for name in ("fileData", "file_data"):
        if members.get(name, b"")[:1] == b"{" and (part := _put_inside(members, name, files)) is not None:
            return part
    if kind == b'"file"' and members.get("file", b"")[:1] == b"{":  # OpenAI chat
        inner = {name: bytes(raw) for name, raw in _decode_object(members["file"]).items()}
        file = _of(inner, files)
        if file is None:
            return None
        if file.media_type.startswith("image/"):
            return {"type": b'"image_url"', "image_url": b'{"url":%b}' % file.url}
        return {**members, "file": b'{"filename":%b,"file_data":%b}' % (_encode(file.name), file.url)}
    file = _of(members, files)
    if file is None:
        return None
    rest = {name: raw for name, raw in members.items() if name != "file_id"}
    if kind in (b'"input_image"', b'"input_file"'):
        if kind == b'"input_image"' or file.media_type.startswith("image/"):
            rest.pop("filename", None)
            return {**rest, "type": b'"input_image"', "image_url": file.url}
        return {**rest, "filename": _encode(file.name), "file_data": file.url}
    if file.media_type in _TEXTS:
        text = file.data.decode("utf-8", "replace")
        return {"type": b'"text"', "media_type": b'"text/plain"', "data": _encode(text)}
    data = b'"%b"' % base64.b64encode(file.data)
    return {"type": b'"base64"', "media_type": _encode(file.media_type), "data": data}


def _put_inside(members: Mapping[str, bytes], name: str, files: Mapping[str, Inside]) -> dict[str, bytes] | None:
    """A part of Google's whose ``fileData`` is one of the files: its data in the same place."""
    inner = {key: bytes(raw) for key, raw in _decode_object(members[name]).items()}
    uri = inner.get("fileUri") or inner.get("file_uri") or b'""'
    found = _OWN_URI.fullmatch(uri.strip()[1:-1])
    file = None if found is None else files.get(f"file_{found[1].decode()}")
    if file is None:
        return None
    said = inner.get("mimeType") or inner.get("mime_type")
    kind = said if said and file.media_type == _ANY else _encode(file.media_type)
    data = b'{"mimeType":%b,"data":"%b"}' % (kind, base64.b64encode(file.data))
    return {("inlineData" if key == name else key): (data if key == name else raw) for key, raw in members.items()}


def path_of(body: bytes, text: str, dialect: Name) -> str | None:
    """Where a text stands in a body, in the words of the dialect: an id of a file of ours, or an address."""
    try:
        whole = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    found = _steps(whole, frozenset({text, "files/" + text.removeprefix("file_")}))
    if found is None:
        return None
    path = ""
    for step in found:
        if isinstance(step, int):
            path += f".{step}" if dialect == "anthropic_messages" else f"[{step}]"
        else:
            name = _HUMP.sub(lambda hit: "_" + hit[1].lower(), step) if dialect == "gemini_generate" else step
            path += f".{name}" if path else name
    return path


def _steps(value: object, wanted: frozenset[str]) -> list[str | int] | None:
    """The names and numbers that lead to one of the texts."""
    if isinstance(value, str):
        return [] if value in wanted or any(value.endswith("/" + text) for text in wanted) else None
    inner: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inner = [(str(name), each) for name, each in value.items()]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    elif isinstance(value, list):
        inner = list(enumerate(value))  # pyright: ignore[reportUnknownArgumentType]
    for step, each in inner:
        found = _steps(each, wanted)
        if found is not None:
            return [step, *found]
    return None


def _of(members: Mapping[str, bytes], files: Mapping[str, Inside]) -> Inside | None:
    return files.get(members.get("file_id", b'""').strip()[1:-1].decode("utf-8", "replace"))
