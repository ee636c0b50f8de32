"""Keys, ids and code samples as pages show them; shared by pages, which never import each other."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from ruxa.access import guards
from ruxa.access.keys import KeyLine
from ruxa.access.roles import CALL_SCOPES
from ruxa.console import forms
from ruxa.console.words import Words
from ruxa.kernel import bounds, ids

PURPOSE = "provide"
SOON = timedelta(days=7)

State = Literal["active", "expiring", "expired", "revoked"]
_BADGES: dict[State, str] = {"active": "pass", "expiring": "warn", "expired": "none", "revoked": "none"}


class ShownKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key in words."""

    shown_id: str
    name: str
    prefix: str
    prefixes: tuple[str, ...]
    livemode: bool
    scopes: tuple[str, ...]
    all_calls: bool
    models: tuple[str, ...] | None
    limits: tuple[str, ...]
    store_days: int
    guard: tuple[str, ...]
    policy: tuple[str, ...]
    expires_at: datetime | None
    last_used: str | None
    created_at: datetime
    state: State
    badge: str


def key(line: KeyLine, words: Words, now: datetime) -> ShownKey:
    """``line`` as the key pages show it."""
    state: State = "active"
    if line.revoked_at is not None:
        state = "revoked"
    elif line.expires_at is not None and line.expires_at <= now:
        state = "expired"
    elif line.expires_at is not None and line.expires_at - now < SOON:
        state = "expiring"
    used = line.last_used_day
    return ShownKey(
        shown_id=ids.text("key", line.id),
        name=line.name.open(PURPOSE),
        prefix=line.prefixes[0] if line.prefixes else ("rx_live_" if line.livemode else "rx_test_"),
        prefixes=line.prefixes,
        livemode=line.livemode,
        scopes=line.scopes,
        all_calls=set(line.scopes) == set(CALL_SCOPES),
        models=line.models,
        limits=tuple(limits(line, words)),
        store_days=line.store_days,
        guard=line.guard,
        policy=line.conditions,
        expires_at=line.expires_at,
        last_used=None if used is None else words.day(used),
        created_at=line.created_at,
        state=state,
        badge=_BADGES[state],
    )


def limits(line: KeyLine, words: Words) -> list[str]:
    """What bounds the key, one phrase each."""
    found: list[str] = []
    if line.budget_micros is not None:
        found.append(words.plain(f"keys.limit_budget_{line.budget_period}", amount=words.exact(line.budget_micros)))
    if line.requests_per_minute is not None:
        found.append(words.plain("keys.limit_rpm", n=line.requests_per_minute))
    if line.tokens_per_minute is not None:
        found.append(words.plain("keys.limit_tpm", n=line.tokens_per_minute))
    if line.concurrency is not None:
        found.append(words.plain("keys.limit_concurrency", n=line.concurrency))
    if line.models is not None:
        found.append(words.plain("keys.limit_models", n=len(line.models)))
    return found


def store_days(words: Words) -> list[tuple[str, str]]:
    """For how many days content can be stored, as a form offers it."""
    return [("0", words.plain("keys.store_none"))] + [
        (str(days), words.plain("keys.days", n=days)) for days in range(1, bounds.CONTENT_DAYS + 1)
    ]


class GuardKind(msgspec.Struct, frozen=True):
    """A kind that a guard can look for, and whether the form begins with it."""

    value: str
    on: bool


def guard_modes(words: Words) -> list[tuple[str, str]]:
    """What a guard can do, as a form offers it."""
    return [("", words.plain("keys.guard_none")), *((mode, words.plain(f"keys.guard_{mode}")) for mode in guards.MODES)]


def guard_kinds(guard: tuple[str, ...], chosen: tuple[str, ...] | None) -> list[GuardKind]:
    """The kinds with those chosen in the form, else those of the key, else the usual ones."""
    on = chosen if chosen is not None else guard[1:] or tuple(guards.USUAL)
    return [GuardKind(kind, kind in on) for kind in guards.KINDS]


def guard_of(mode: str, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a guard from a form; a kind that the form does not offer is none."""
    kinds = tuple(kind for kind in guards.KINDS if kind in chosen)
    if mode and not kinds:
        raise forms.Faults({"guard_kinds": "form.needed"})
    return (mode, *kinds) if mode else ()


def curl(base_url: str, model: str) -> str:
    """The one line that a newcomer pastes."""
    return (
        f"curl {base_url}/v1/chat/completions \\\n"
        '  -H "Authorization: Bearer $RUXA_KEY" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f'  -d \'{{"model": "{model}",\n       "messages": [{{"role": "user", "content": "Hello"}}]}}\''
    )


def sdk(base_url: str, model: str) -> str:
    """The same call by the OpenAI SDK."""
    return (
        "import os\nfrom openai import OpenAI\n\n"
        f'client = OpenAI(\n    base_url="{base_url}/v1",\n    api_key=os.environ["RUXA_KEY"],\n)\n'
        "answer = client.chat.completions.create(\n"
        f'    model="{model}",\n    messages=[{{"role": "user", "content": "Hello"}}],\n)\n'
        "print(answer.choices[0].message.content)"
    )


def environment(base_url: str) -> str:
    """What the SDKs read from the environment."""
    return (
        f"export OPENAI_BASE_URL={base_url}/v1 OPENAI_API_KEY=$RUXA_KEY\n"
        f"export ANTHROPIC_BASE_URL={base_url} ANTHROPIC_API_KEY=$RUXA_KEY\n"
        f"export GOOGLE_GEMINI_BASE_URL={base_url} GEMINI_API_KEY=$RUXA_KEY"
    )
