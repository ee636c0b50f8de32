"""Secrets: what keys look like. Each begins with a fixed word, so that a text without any is passed over at once."""

from __future__ import annotations

import re

import msgspec

from ruxa.access.keys import well_formed

BLOCK = "-----BEGIN "
BLOCK_END = "-----END "
_CHAR = r"[A-Za-z0-9_-]"
_BLOCK_HEAD = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_TAIL = re.compile(r"-----END [A-Z0-9 ]{0,60}-----")


class Shape(msgspec.Struct, frozen=True):
    """A kind of key: the word it begins with, and the whole. Every part of a pattern is possessive or short."""

    word: str
    pattern: re.Pattern[str]


def _shape(word: str, rest: str) -> Shape:
    return Shape(word, re.compile(rf"(?<![A-Za-z0-9]){re.escape(word)}{rest}"))


SHAPES: tuple[Shape, ...] = (
    *(
        _shape(word, r"[A-Z0-9]{16}(?![A-Za-z0-9])")
        for word in ("AKIA", "ASIA", "AGPA", "AIDA", "AROA", "AIPA", "ANPA", "ANVA")
    ),
    *(_shape(word, r"[A-Za-z0-9]{30,}+") for word in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    _shape("github_pat_", r"[A-Za-z0-9_]{22,}+"),
    _shape("glpat-", rf"{_CHAR}{{20,}}+"),
    _shape("sk-", rf"{_CHAR}{{20,}}+"),  # OpenAI, Anthropic (sk-ant-), OpenRouter and others
    _shape("AIza", rf"{_CHAR}{{35}}"),
    _shape("GOCSPX-", rf"{_CHAR}{{20,}}+"),
    _shape("ya29.", rf"{_CHAR}{{20,}}+"),
    *(
        _shape(word, r"[A-Za-z0-9]{16,}+")
        for word in ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_")  # Stripe
    ),
    *(_shape(word, r"[A-Za-z0-9-]{10,}+") for word in ("xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-")),
    _shape("hooks.slack.com/services/", r"[A-Za-z0-9/]{20,}+"),
    Shape(
        "eyJ",
        re.compile(r"(?<![A-Za-z0-9_.-])eyJ[A-Za-z0-9_-]{8,512}+\.eyJ[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+)?"),
    ),
    Shape("rx_live_", re.compile(r"(?<![A-Za-z0-9])rx_live_[A-Za-z0-9]{39}(?![A-Za-z0-9])")),
    Shape("rx_test_", re.compile(r"(?<![A-Za-z0-9])rx_test_[A-Za-z0-9]{39}(?![A-Za-z0-9])")),
)
# AWS's secret half has no word of its own, only what stands before it.
AWS_WORD = re.compile(r"aws_?secret_?(?:access_?)?key", re.IGNORECASE)
_AWS = re.compile(r"[\"' ]{0,3}[=:][\"' ]{0,3}([A-Za-z0-9/+=]{40})(?![A-Za-z0-9/+=])")


def found(text: str) -> list[tuple[int, int]]:
    """Where secrets stand. A block of a private key whose end is missing goes to the end of the text."""
    spans: list[tuple[int, int]] = []
    for shape in SHAPES:
        at = text.find(shape.word)
        while at >= 0:
            match = shape.pattern.match(text, at)
            end = at + len(shape.word)
            if match is not None and (not shape.word.startswith("rx_") or well_formed(match[0].encode())):
                spans.append(match.span())
                end = match.end()
            at = text.find(shape.word, end)
    if "ecret" in text or "ECRET" in text:
        for word in AWS_WORD.finditer(text):
            match = _AWS.match(text, word.end())
            if match is not None:
                spans.append(match.span(1))
    return spans + _blocks(text)


def _blocks(text: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    at = text.find(BLOCK)
    while at >= 0:
        head = _BLOCK_HEAD.match(text, at)
        if head is None:
            at = text.find(BLOCK, at + len(BLOCK))
            continue
        tail = text.find(BLOCK_END, head.end())
        match = _BLOCK_TAIL.match(text, tail) if tail >= 0 else None
        end = match.end() if match is not None else len(text)
        spans.append((at, end))
        at = text.find(BLOCK, end)
    return spans


def open_block(text: str) -> bool:
    """Whether the text ends inside a block of a private key: what follows belongs to it."""
    at = text.rfind(BLOCK)
    return at >= 0 and _BLOCK_HEAD.match(text, at) is not None and _BLOCK_TAIL.search(text, at) is None
