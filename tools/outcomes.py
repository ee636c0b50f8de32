"""What becomes of each fault of a provider: docs/reference/faults.md, and what ``test_fault_matrix.py`` expects."""

from __future__ import annotations

import msgspec

BUSY = "503, to Anthropic's clients 529"
TOLD = f"502, or {BUSY} where the provider says that it is overloaded"
ERROR = "200, then the dialect's error event"
WELL = "200"
STATUSES: dict[str, dict[str, frozenset[int]]] = {
    # what the table says -> dialect of the caller ('': any other) -> statuses
    BUSY: {"": frozenset({503}), "anthropic_messages": frozenset({529})},
    TOLD: {"": frozenset({502, 503}), "anthropic_messages": frozenset({502, 529})},
    ERROR: {"": frozenset({200})},
    "403, from a Gemini provider 429": {"": frozenset({403, 429})},
}


class Outcome(msgspec.Struct, frozen=True):
    """Of one fault. about: what the provider does; whole, stream: what the caller sees; charged: whether anything is;
    tries: the most requests that the provider gets; counts: whether the breaker counts it as a failure; retry:
    ``x-should-retry``, None where the answer is good or depends."""

    about: str
    whole: str
    stream: str
    charged: bool = False
    tries: int = 1
    counts: bool = False
    retry: bool | None = None


OUTCOMES: dict[str, Outcome] = {
    "400": Outcome("refuses the call", "400", "400", retry=False),
    "401": Outcome("does not know our key", "502", "502", retry=False),
    "403": Outcome("does not let our key do it", "502", "502", retry=False),
    "404": Outcome("has no such model", "404", "404", retry=False),
    "413": Outcome("finds the call too large", "413", "413", retry=False),
    "429": Outcome("limits us, and says for how long (7 s)", "429", "429", retry=True),
    "quota": Outcome("says that our account is used up", *["403, from a Gemini provider 429"] * 2, tries=3),
    "500": Outcome("breaks", "502", "502", counts=True, retry=False),
    "503": Outcome("is overloaded, and says for how long (7 s)", BUSY, BUSY, counts=True, retry=True),
    "529": Outcome("is overloaded, and says for how long (7 s)", BUSY, BUSY, counts=True, retry=True),
    "hang": Outcome("takes the call and says nothing", "504", "504", counts=True, retry=False),
    "slow-first-token": Outcome("takes its time", WELL, WELL, charged=True),
    "first-frame-error": Outcome("says 200, then an error before anything else", TOLD, TOLD, tries=3, counts=True),
    "mid-stream-death": Outcome("dies half-way", "502", ERROR, counts=True, retry=False),
    "mid-stream-error": Outcome("says an error half-way", TOLD, ERROR, counts=True),
    "garbage": Outcome("says 200 and no answer", "502", "502", counts=True, retry=False),
    "half": Outcome("stops half-way, as if that were all", "502", ERROR, counts=True, retry=False),
    "late-usage": Outcome("tells its figures a second late", WELL, WELL, charged=True),
    "no-usage": Outcome("tells no figures: what passed is counted", WELL, WELL, charged=True),
    "one-byte-chunks": Outcome("sends each byte alone", WELL, WELL, charged=True),
}


def statuses(told: str, caller: str) -> frozenset[int]:
    """What the table's words mean for a caller of that dialect."""
    if told not in STATUSES:
        return frozenset({int(told)})
    return STATUSES[told].get(caller, STATUSES[told][""])


def page() -> str:
    """docs/reference/faults.md."""
    rows: list[str] = []
    for name, it in OUTCOMES.items():
        charged = "the answer" if it.charged else "nothing"
        retry = ("" if it.charged else "as the status has it") if it.retry is None else str(it.retry).lower()
        counts = "yes" if it.counts else "no"
        cells = (f"`{name}`", it.about, it.whole, it.stream, charged, str(it.tries), counts, retry)
        rows.append("| " + " | ".join(cells) + " |")
    head = """# A provider's bad day

What a caller gets, pays, and what the breaker makes of each fault of the [sandbox](sandbox.md), on a model with one
target. The same for every dialect of the caller and every dialect of the provider, relayed or translated:
`tests/gateway/test_fault_matrix.py` makes each of these calls, and this page is written from what it expects.

A retry happens only where the provider has certainly done nothing, and where it asks for no more patience than two
seconds; with further targets the next one is asked instead. Nothing is charged for an answer that did not arrive whole.

| fault | the provider | a whole answer | a stream | charged | tries at most | breaker counts it | `x-should-retry` |
|---|---|---|---|---|---|---|---|
"""
    return head + "\n".join(rows) + "\n"
