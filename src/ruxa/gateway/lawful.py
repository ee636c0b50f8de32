"""Lawful: who may get a call at all, by what its key and the call demand; asked before anything else of a target.

What a provider does not say of itself counts as the worst: unknown never fulfils a condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from ruxa.egress.provider import Facts
from ruxa.kernel.errors import Forbidden

_EU = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
EU = frozenset(_EU.split())
REGIONS: dict[str, frozenset[str]] = {"EU": EU | {"EU"}, "EEA": EU | {"EU", "EEA", "IS", "LI", "NO"}}


class Aimed(Protocol):
    """A target, as far as it is looked at here."""

    @property
    def facts(self) -> Facts:
        """Who gets the call."""
        ...


Of = TypeVar("Of", bound=Aimed)


def fulfils(facts: Facts, condition: str) -> bool:
    """Whether a recipient is known to keep a condition of ``access.conditions``."""
    name, _, values = condition.partition("=")
    if name == "zero-retention":
        return facts.kept_days == 0
    if name == "no-training":
        return facts.trains is False
    wanted = values.split("|")
    if name == "mechanism":
        return facts.mechanism == "own" or facts.mechanism in wanted
    where = facts.where.upper()
    return where == "OWN" or any(where in REGIONS.get(value, (value,)) for value in wanted)


def lawful(targets: Sequence[Of], conditions: Sequence[str], model: str) -> list[Of]:
    """The targets that fulfil them all. Raises Forbidden ``no_lawful_route`` naming the condition that left none."""
    left = list(targets)
    for condition in conditions:
        left = [target for target in left if fulfils(target.facts, condition)]
        if not left:
            raise Forbidden(
                f"Nobody who serves {model} is known to fulfil the condition {condition} of this call or its key.",
                code="no_lawful_route",
                param=condition.partition("=")[0],
            )
    return left
