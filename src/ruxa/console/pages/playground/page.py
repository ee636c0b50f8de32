"""Playground: one call at a time by the public dialect paths, streamed, with its cost and request id."""

from __future__ import annotations

import msgspec

from ruxa.console import money, shown
from ruxa.console.page import Page, View, Visit
from ruxa.store.work import Work

DIALECTS = {"anthropic": ("anthropic",), "google": ("gemini",), "sandbox": ("openai", "anthropic", "gemini")}
# Models that answer something else than a conversation; told by name, as their providers name them.
NOT_TALK = ("embedding", "image", "tts", "whisper", "audio", "video", "moderation", "transcribe", "fail-", "realtime")
WORDS = (
    "you",
    "cost",
    "in_out",
    "settling",
    "first",
    "total",
    "stopped",
    "answered",
    "remove",
    "too_large",
    "price",
    "hello",
    "empty",
)


class Offered(msgspec.Struct, frozen=True):
    """A model to choose: its price in USD per million tokens and the dialects that reach it unchanged."""

    name: str
    input: str
    output: str
    dialects: tuple[str, ...]


async def load(visit: Visit, work: Work) -> View:
    """The page; the models that are priced now."""
    words = visit.words
    offered = [
        Offered(
            price.model,
            words.exact(price.input_micros),
            words.exact(price.output_micros),
            DIALECTS.get(price.provider, ("openai",)),
        )
        for price in await money.offered(work, visit.deps, visit.person.organisation_ref)
        if price.units == "tokens" and not any(mark in price.model for mark in NOT_TALK)
    ]
    offered.sort(key=lambda one: (one.name != "sandbox/chat", one.name))
    texts = {name: words.raw(f"playground.{name}") for name in WORDS}
    texts["tokens"] = words.raw("playground.tokens_label")
    return View(
        {
            "models": offered,
            "models_json": msgspec.json.encode(offered).decode(),
            "words_json": msgspec.json.encode(texts).decode(),
            "curl": shown.curl(visit.deps.base_url, offered[0].name if offered else "sandbox/chat"),
        }
    )


PAGE = Page(
    name="playground",
    path="/playground",
    area="customer",
    load=load,
    permission="playground:use",
    icon="play",
)
