"""How much to think, between Anthropic's words and the neutral ones (W28 to W30): the table, both ways.

==================================  ==========================================================================
Anthropic's                         neutral
==================================  ==========================================================================
``enabled``, ``budget_tokens`` N    ``on``, budget N
``adaptive``                        ``adaptive``
``disabled``                        ``off``
``between_tools``                   ``off``, and a loss: no other dialect turns thinking off in part
``display`` summarized, omitted     shown, not shown
``output_config.effort``            effort
==================================  ==========================================================================

On the way back, a model that thinks adaptively gets ``adaptive`` and an effort: the caller's, or the one of its budget.
Any other gets ``enabled`` and a budget: the caller's, or the one of its effort (``effort.BUDGETS``), always at least
1024 and below ``max_tokens``; a budget made from an effort leaves a quarter of ``max_tokens`` to the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ruxa.dialects.anthropic_messages.fields import Fields
from ruxa.dialects.call import Reasoning, Thinking, ToolCall, Turn
from ruxa.dialects.effort import budget_of, effort_of
from ruxa.dialects.losses import Loss
from ruxa.dialects.translator import Aim

BUDGET_MIN = 1024
EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
_LOWEST = {"minimal": "low"}
_DISPLAYS = {"summarized": True, "omitted": False}
_KNOWN = frozenset({"type", "budget_tokens", "display"})


class Asked(msgspec.Struct, frozen=True):
    """What goes out. thinking: the member of that name; effort: of ``output_config``; None: nothing is sent."""

    thinking: dict[str, object] | None = None
    effort: str | None = None


def read_thinking(thinking: Fields | None, effort: str, losses: list[Loss]) -> Reasoning | None:
    """``thinking`` and ``output_config.effort`` (``''``: not given). Raises InvalidCall."""
    if thinking is None:
        return Reasoning(effort=effort) if effort else None
    kind = thinking.text("type")
    display = thinking.text_or("display")
    if display and display not in _DISPLAYS:
        raise thinking.refuse("display", "Input should be 'summarized' or 'omitted'")
    shown = _DISPLAYS.get(display)
    thinking.rest(_KNOWN, losses, "thinking.")
    if kind == "adaptive":
        return Reasoning(mode="adaptive", effort=effort or None, shown=shown)
    if kind == "enabled":
        budget = thinking.count("budget_tokens")
        if budget is None or budget < BUDGET_MIN:
            raise thinking.refuse("budget_tokens", f"Input should be greater than or equal to {BUDGET_MIN}")
        return Reasoning(mode="on", budget=budget, effort=effort or None, shown=shown)
    if kind == "between_tools":
        losses.append(Loss("thinking.between_tools", thinking.path("type")))
    elif kind != "disabled":
        raise thinking.refuse("type", "Input should be 'enabled', 'disabled', 'adaptive' or 'between_tools'")
    return Reasoning(mode="off", effort=effort or None)


def write_thinking(
    wanted: Reasoning | None, aim: Aim, cap: int, turns: Sequence[Turn], forced: bool, losses: list[Loss]
) -> Asked:
    """What to send for it. cap: ``max_tokens``; forced: the model must call a tool, which a budget forbids."""
    if wanted is None or wanted == Reasoning(shown=False):
        return Asked()
    off = wanted.mode == "off" or wanted.budget == 0 or (wanted.mode is None and wanted.effort == "none")
    if "thinking" not in aim.ways:
        if not off:
            losses.append(Loss("thinking"))
        return Asked()
    if "adaptive_thinking" in aim.ways:
        return _adaptive(wanted, off, losses)
    if off:
        return Asked({"type": "disabled"})
    budget = _budget(wanted, cap)
    if budget < BUDGET_MIN or forced or _unsigned_loop(turns):
        losses.append(Loss("thinking"))
        return Asked({"type": "disabled"})
    return Asked({"type": "enabled", "budget_tokens": budget, **_display(wanted)})


def _adaptive(wanted: Reasoning, off: bool, losses: list[Loss]) -> Asked:
    effort = wanted.effort
    if effort is None and wanted.budget is not None and wanted.budget > 0:
        effort = effort_of(wanted.budget)
    effort = _LOWEST.get(effort or "", effort)
    if effort is not None and effort not in EFFORTS:
        if effort != "none":
            losses.append(Loss("effort"))
        effort = None
    if off:
        return Asked({"type": "disabled"}, effort)
    return Asked({"type": "adaptive", **_display(wanted)}, effort)


def _budget(wanted: Reasoning, cap: int) -> int:
    """A budget below ``cap``, under ``BUDGET_MIN`` when there is no room for one."""
    if wanted.budget is not None and wanted.budget > 0:
        return min(max(wanted.budget, BUDGET_MIN), cap - 1)
    budget = min(budget_of(wanted.effort or "medium"), cap * 3 // 4)
    return min(max(budget, BUDGET_MIN), cap - 1)


def _display(wanted: Reasoning) -> dict[str, object]:
    if wanted.shown is None:
        return {}
    return {"display": "summarized" if wanted.shown else "omitted"}


def _unsigned_loop(turns: Sequence[Turn]) -> bool:
    """Whether the call is inside a tool loop that did not begin with thinking of Anthropic's.

    With a budget Anthropic refuses to think in such a loop: it would have to have thought from its start.
    """
    for turn in reversed(turns):
        if turn.role != "assistant":
            continue
        if not any(isinstance(part, ToolCall) for part in turn.parts):
            return False
        first = turn.parts[0]
        return not (isinstance(first, Thinking) and first.origin == "anthropic" and first.signature)
    return False
