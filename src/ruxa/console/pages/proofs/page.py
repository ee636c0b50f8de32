"""Staff: the ledger's proofs, run on the live books; each is a count that must be zero."""

from __future__ import annotations

from ruxa.console.page import Page, View, Visit
from ruxa.console.words import Words
from ruxa.kernel.clock import monotonic
from ruxa.ledger import proofs
from ruxa.store.work import Work


async def load(visit: Visit, work: Work) -> View:
    """Nothing is run by looking."""
    del work
    return View({"proofs": [], "at": visit.deps.clock.now(), "took_ms": 0, "all_ok": False, "idle": 0})


async def run(visit: Visit, work: Work) -> View:
    """Runs all proofs from one snapshot."""
    began = monotonic()
    found = await proofs.check(work)
    words = visit.words
    return View(
        {
            "proofs": [
                {
                    "name": proof.name.partition(" ")[0],
                    "text": explain(words, proof),
                    "value": proof.value,
                    "examined": proof.examined,
                    "sample": proof.sample,
                    "ok": proof.ok,
                }
                for proof in found
            ],
            "at": visit.deps.clock.now(),
            "took_ms": int((monotonic() - began) * 1000),
            "all_ok": all(proof.ok for proof in found),
            "idle": sum(1 for proof in found if proof.examined == 0),
        }
    )


def explain(words: Words, proof: proofs.Proof) -> str:
    """What the proof says, in the reader's language where the catalogue knows it."""
    number, _, said = proof.name.partition(" ")
    return words.plain(f"proof.{number}") if words.has(f"proof.{number}") else said


PAGE = Page(
    name="proofs",
    path="/staff/ledger",
    area="staff",
    load=load,
    permission="staff_ledger:prove",
    actions={"run": run},
    icon="board",
    group="staff",
)
