"""Log probabilities: Google's ``logprobsResult`` and the entries of OpenAI's that a ``Choice`` holds."""

from __future__ import annotations

import msgspec


class Chosen(msgspec.Struct, gc=False, rename="camel"):
    """A token and how likely it was."""

    token: str = ""
    log_probability: float | None = None


class Tops(msgspec.Struct, gc=False):
    """The likeliest tokens of one place."""

    candidates: list[Chosen] | None = None


class Result(msgspec.Struct, gc=False, rename="camel"):
    """``logprobsResult`` of a candidate."""

    chosen_candidates: list[Chosen] | None = None
    top_candidates: list[Tops] | None = None


class _Token(msgspec.Struct, gc=False):
    token: str
    logprob: float
    bytes: list[int] | None = None


class _Entry(msgspec.Struct, gc=False):
    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[_Token] = []


_encode = msgspec.json.Encoder().encode
_decode_entries = msgspec.json.Decoder(list[_Entry]).decode


def entries(result: Result) -> bytes:
    """OpenAI's entries as JSON; b'' when there is none."""
    tops = result.top_candidates or []
    found = [
        _Entry(
            token=chosen.token,
            logprob=chosen.log_probability or 0.0,
            bytes=list(chosen.token.encode()),
            top_logprobs=[
                _Token(token=top.token, logprob=top.log_probability or 0.0, bytes=list(top.token.encode()))
                for top in ((tops[at].candidates or []) if at < len(tops) else [])
            ],
        )
        for at, chosen in enumerate(result.chosen_candidates or [])
    ]
    return _encode(found) if found else b""


def result(entries: bytes) -> Result | None:
    """``logprobsResult`` from OpenAI's entries; None when they are none."""
    try:
        told = _decode_entries(entries)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Result(
        chosen_candidates=[Chosen(token=each.token, log_probability=each.logprob) for each in told],
        top_candidates=[
            Tops(candidates=[Chosen(token=top.token, log_probability=top.logprob) for top in each.top_logprobs])
            for each in told
        ],
    )


def average(found: Result) -> float:
    """``avgLogprobs``."""
    chosen = found.chosen_candidates or []
    return sum(each.log_probability or 0.0 for each in chosen) / max(len(chosen), 1)
