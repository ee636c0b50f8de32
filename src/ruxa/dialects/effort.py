"""Effort: the one table between a word for how much a model thinks and a budget of tokens for it (W28 to W30).

Vendors ask either in words or in tokens. A budget becomes the word whose own budget is nearest from above; the words
beyond ``high`` are never made from a budget, because few models know them.
"""

from __future__ import annotations

BUDGETS = {"none": 0, "minimal": 1024, "low": 2048, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 65536}
"""Tokens for each word."""

LOW_MAX = 4096
MEDIUM_MAX = 16384


def effort_of(budget: int) -> str:
    """The word for a budget; a negative one (Gemini's "as much as you like") is ``medium``."""
    if budget == 0:
        return "none"
    if budget < 0:
        return "medium"
    return "low" if budget <= LOW_MAX else "medium" if budget <= MEDIUM_MAX else "high"


def budget_of(effort: str, cap: int | None = None) -> int:
    """The budget for a word, an unknown one as ``medium``; below ``cap``, the tokens of the whole answer."""
    budget = BUDGETS.get(effort, BUDGETS["medium"])
    return budget if cap is None else min(budget, max(cap - 1, 0))
