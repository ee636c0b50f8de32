"""Reads whole answers of chat completions and embeddings."""

from __future__ import annotations

import msgspec

from ruxa.dialects.body import ABSENT, given
from ruxa.dialects.dialect import Answer
from ruxa.dialects.openai import error_of
from ruxa.dialects.openai_chat.figures import Figures, finish_of, usage_of
from ruxa.kernel.errors import UpstreamBroken


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None


class _Answer(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Figures | None = None
    error: msgspec.Raw = ABSENT


_decode_answer = msgspec.json.Decoder(_Answer).decode


def read_answer(body: bytes) -> Answer:
    """Usage and finish of a chat completion or an embeddings answer, without decoding its content."""
    try:
        answer = _decode_answer(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Answer(error=UpstreamBroken("The provider's answer is not a JSON object of the expected shape."))
    if given(answer.error):
        return Answer(error=error_of(None, {}, body))
    finish = None
    for choice in answer.choices or ():
        finish = finish_of(choice.finish_reason) or finish
    return Answer(usage=None if answer.usage is None else usage_of(answer.usage), finish=finish)
