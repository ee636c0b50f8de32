"""What a chat completion looks like, whole or in chunks, with the ways of the servers that speak this dialect.

Some tell thinking as ``reasoning_content``, some as ``reasoning``, some inside ``content``; some send empty choices,
``null`` for text, or a tool call at once. One set of shapes reads them all.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import msgspec

from ruxa.dialects import media, signature
from ruxa.dialects.body import ABSENT, given
from ruxa.dialects.call import Media, Origin, ToolCall
from ruxa.dialects.openai_chat.figures import Figures
from ruxa.dialects.openai_chat.parts import read_media
from ruxa.dialects.openai_chat.reasoning import Detail


class Url(msgspec.Struct, gc=False):
    """``image_url``."""

    url: str = ""


class Block(msgspec.Struct, gc=False):
    """A part of a content that is a list (Mistral), or of an image list. thinking: a text or a list of texts."""

    type: str = ""
    text: str | None = None
    thinking: str | list[Block] | None = None
    image_url: Url | str | None = None


class Function(msgspec.Struct, gc=False):
    """A function's name and arguments; Ollama's older versions send them as an object."""

    name: str | None = None
    arguments: str | dict[str, msgspec.Raw] | None = None

    def spelled(self) -> str:
        """The arguments as JSON text."""
        if isinstance(self.arguments, dict):
            return msgspec.json.encode(self.arguments).decode()
        return self.arguments or ""


class Custom(msgspec.Struct, gc=False):
    """A custom tool's name and its free text."""

    name: str | None = None
    input: str | None = None


class Google(msgspec.Struct, gc=False):
    """Google's own fields."""

    thought_signature: str | None = None


class Extra(msgspec.Struct, gc=False):
    """``extra_content``."""

    google: Google | None = None


class Call(msgspec.Struct, gc=False):
    """A tool call, or a fragment of one."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: Extra | None = None

    @property
    def name(self) -> str:
        """The tool's name, '' when this fragment does not say it."""
        inner = self.custom or self.function
        return (inner.name or "") if inner is not None else ""

    @property
    def said(self) -> str:
        """The arguments, or the part of them in this fragment."""
        if self.custom is not None:
            return self.custom.input or ""
        return self.function.spelled() if self.function is not None else ""

    def whole(self) -> ToolCall:
        """The call of a whole answer."""
        origin, mark = mark_of(self.extra_content)
        custom = self.custom is not None
        said = self.said
        return ToolCall(
            id=self.id or "",
            name=self.name,
            arguments=said if custom or said.strip() else "{}",
            custom=custom,
            signature=mark,
            origin=origin,
        )


class Audio(msgspec.Struct, gc=False):
    """Spoken answer, or a piece of one."""

    data: str | None = None
    transcript: str | None = None


class Message(msgspec.Struct, gc=False):
    """A message of an answer, or the delta of one."""

    content: str | list[Block] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | dict[str, msgspec.Raw] | None = None
    reasoning_details: list[Detail] | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None
    audio: Audio | None = None
    images: list[Block] | None = None
    annotations: list[msgspec.Raw] | None = None
    extra_content: Extra | None = None

    def bare(self) -> bool:
        """Whether it holds nothing but ``content``, as nearly every chunk does."""
        return (
            self.tool_calls is None
            and self.reasoning_content is None
            and self.reasoning is None
            and self.reasoning_details is None
            and self.refusal is None
            and self.function_call is None
            and self.audio is None
            and self.images is None
            and self.annotations is None
            and self.extra_content is None
        )

    def calls(self) -> Sequence[Call]:
        """The tool calls; one in the older words counts as another."""
        if self.function_call is None:
            return self.tool_calls or ()
        return (*(self.tool_calls or ()), Call(index=OLDER, function=self.function_call))

    def signature(self) -> tuple[Origin, str]:
        """Whose proof stands on the text, and the proof."""
        return mark_of(self.extra_content)


OLDER = -1
"""The number of the one call that the older words know."""


class Logprobs(msgspec.Struct, gc=False):
    """Of the tokens of the text."""

    content: msgspec.Raw = ABSENT


class Choice(msgspec.Struct, gc=False):
    """One answer, or a piece of one."""

    index: int = 0
    message: Message | None = None
    delta: Message | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None

    def tokens(self) -> bytes:
        """The logprobs as ``reply.Choice`` has them."""
        raw = self.logprobs.content if self.logprobs is not None else ABSENT
        return bytes(raw) if given(raw) and bytes(memoryview(raw)[:1]) == b"[" and raw != _EMPTY else b""


_EMPTY = msgspec.Raw(b"[]")


class Completion(msgspec.Struct, gc=False):
    """A whole answer or one chunk."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: Figures | None = None
    error: msgspec.Raw = ABSENT


decode_whole = msgspec.json.Decoder(Completion).decode


def mark_of(extra: Extra | None) -> tuple[Origin, str]:
    """Google's proof, or another's that was packed in its place."""
    if extra is None or extra.google is None:
        return "", ""
    return signature.read(extra.google.thought_signature or "", "google")


def texts_of(message: Message) -> tuple[str, str]:
    """Thinking and text of a message, whichever way they are told."""
    thinking = message.reasoning_content
    if not thinking and isinstance(message.reasoning, str):
        thinking = message.reasoning
    content = message.content
    if isinstance(content, list):
        inside = "".join(_thought(block) for block in content)
        return thinking or inside, "".join(block.text or "" for block in content if block.type != "thinking")
    return thinking or "", content or ""


def _thought(block: Block) -> str:
    if isinstance(block.thinking, list):
        return "".join(each.text or "" for each in block.thinking)
    return block.thinking or ""


def image_of(block: Block) -> Media | None:
    """An image that the model made."""
    url = block.image_url
    text = url.url if isinstance(url, Url) else url or ""
    return read_media(text, Media(kind="image")) if text else None


def audio_of(pieces: Sequence[str]) -> Media:
    """Audio from its base64 pieces; without a mark of its own in the bytes it is raw samples."""
    data = pieces[0] if len(pieces) == 1 else base64.b64encode(b"".join(map(_bytes, pieces))).decode()
    return Media(kind="audio", media_type=media.labelled("", data) or "audio/pcm", data=data)


def _bytes(piece: str) -> bytes:
    try:
        return base64.b64decode(piece)
    except (binascii.Error, ValueError):
        return b""
