"""Long texts (terms, refunds, privacy) as blocks for a template: titles, paragraphs, lists, **bold**.

Only this much of Markdown is read; everything else stays text and is escaped.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

import msgspec
from markupsafe import Markup, escape

from ruxa.console.words import Language

PRIVACY = Path(__file__).parent / "catalogues"


class Block(msgspec.Struct, frozen=True):
    """One block: ``kind`` is h1, h2, p, ul or ol; lists have several lines."""

    kind: str
    lines: tuple[Markup, ...]


def blocks(text: str) -> list[Block]:
    """The blocks of a text, in order."""
    made: list[Block] = []
    for piece in re.split(r"\n\s*\n", text.strip()):
        lines = piece.strip().splitlines()
        first = lines[0]
        if first.startswith("# "):
            made.append(Block("h1", (_inline(first[2:]),)))
        elif first.startswith("## "):
            made.append(Block("h2", (_inline(first[3:]),)))
        elif first.startswith("- "):
            made.append(Block("ul", tuple(_inline(line[2:]) for line in lines)))
        elif re.match(r"\d+\. ", first):
            made.append(Block("ol", tuple(_inline(line.partition(". ")[2]) for line in lines)))
        else:
            made.append(Block("p", (_inline(" ".join(lines)),)))
    return made


def _inline(text: str) -> Markup:
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(text))))  # noqa: S704


def digest(text: str) -> str:
    """SHA-256 of the text, 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def privacy(language: Language) -> str:
    """The privacy notice."""
    return (PRIVACY / f"privacy.{language}.md").read_text(encoding="utf-8")
