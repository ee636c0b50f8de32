"""References to files that are kept here: found in a body of any dialect, and replaced by the files themselves.

Only the objects on the way to a reference are written anew; every other byte stays as it was sent. What a reference
becomes is the dialect's own form of the same thing with its data inside:

    OpenAI chat       {"type": "file", "file": {"file_id"}}       file_data, or an image_url part of an image
    OpenAI responses  {"type": "input_file" | "input_image"}      file_data, image_url
    Anthropic         {"type": "file", "file_id"} as a source     base64, or text of a plain text
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

import msgspec

from ruxa.dialects.dialect import Envelope

_REFERENCE = re.compile(rb'"file_id"\s*:\s*"(file_[0-9a-f]{32})"')
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
    if not any(claim.name == "file_id" for claim in envelope.claims):
        return ()
    return tuple(dict.fromkeys(found.decode() for found in _REFERENCE.findall(envelope.body)))


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


def _of(members: Mapping[str, bytes], files: Mapping[str, Inside]) -> Inside | None:
    return files.get(members.get("file_id", b'""').strip()[1:-1].decode("utf-8", "replace"))
