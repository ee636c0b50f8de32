"""PDF of a document: the same page gives the same bytes; every script that its fonts have is text in it.

Latin, Greek, Cyrillic and what else DejaVu Sans has is embedded; Chinese, Japanese and Korean are set in the fonts that
readers bring for them (Adobe's character collections). What no font has is shown as a box: the HTML has it all.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from ruxa.ledger.documents.printed import Page, Row

PLAIN, BOLD = "DejaVuSans", "DejaVuSans-Bold"
_HAN, _KANA, _HANGUL = "STSong-Light", "HeiseiKakuGo-W5", "HYSMyeongJo-Medium"
_WIDTH, _HEIGHT = A4
_LEFT, _RIGHT = 56, int(_WIDTH) - 56
_TOP, _BOTTOM = int(_HEIGHT) - 64, 64
_SIZE, _LEAD = 10, 15
_BOX: Final = "\u25a1"
# Beyond it readers can't take a text out of the file again.
_PLANE: Final = 0xFFFF

# The library says nothing of its types.
_FONTS: Final[Any] = pdfmetrics

Run = tuple[str, str]


def pdf(page: Page, fonts: Path) -> bytes:
    """The page as PDF; ``fonts`` holds DejaVuSans.ttf and DejaVuSans-Bold.ttf."""
    _register(fonts)
    out = io.BytesIO()
    # Invariant: no time of making, no random id.
    canvas = Canvas(out, pagesize=A4, invariant=1, pageCompression=1, lang=page.language)
    canvas.setTitle(f"{page.title} {page.number}")
    canvas.setAuthor(page.seller[0] if page.seller else "")
    canvas.setSubject(page.number)
    _Sheet(canvas, page).set()
    canvas.save()
    return out.getvalue()


def digest(printed: bytes) -> bytes:
    """SHA-256 of a printing."""
    return sha256(printed).digest()


class _Sheet:
    """Sets a page, line by line, on as many sheets as it takes."""

    def __init__(self, canvas: Any, page: Page) -> None:
        self._canvas = canvas
        self._page = page
        self._y = _TOP
        self._sheet = 1

    def set(self) -> None:
        page = self._page
        self._line([(_LEFT, page.title, BOLD, 18)], lead=24)
        self._line([(_LEFT, page.number, PLAIN, 11)], lead=24)
        if page.warning:
            self._block(page.warning, _LEFT, _RIGHT - _LEFT, BOLD, 11)
            self._y -= 8
        self._sides()
        for name, value in page.facts:
            pieces = _wrapped(value, _RIGHT - _LEFT - 150, PLAIN, _SIZE)
            for at, piece in enumerate(pieces):
                self._line([(_LEFT, "" if at else name, PLAIN, _SIZE), (_LEFT + 150, piece, PLAIN, _SIZE)])
        self._y -= 14
        self._head()
        for row in page.rows:
            self._row(row)
        self._rule()
        for row in page.totals:
            self._row(row)
        self._y -= 14
        for note in page.notes:
            self._block(note, _LEFT, _RIGHT - _LEFT, PLAIN, 8)
        self._foot()

    def _sides(self) -> None:
        page = self._page
        half = (_RIGHT - _LEFT) // 2
        top = self._y
        lowest = top
        for left, title, lines in (
            (_LEFT, page.seller_title, page.seller),
            (_LEFT + half, page.party_title, page.party),
        ):
            self._y = top
            if lines:
                self._line([(left, title, BOLD, _SIZE)])
                for line in lines:
                    self._block(line, left, half - 16, PLAIN, _SIZE)
            lowest = min(lowest, self._y)
        self._y = lowest - 14

    def _head(self) -> None:
        what, quantity, amount = self._page.columns
        self._line([(_LEFT, what, BOLD, _SIZE)], ends=[(_RIGHT - 120, quantity, BOLD), (_RIGHT, amount, BOLD)])
        self._rule()

    def _row(self, row: Row) -> None:
        font = BOLD if row.strong else PLAIN
        pieces = _wrapped(row.text, _RIGHT - _LEFT - 230, font, _SIZE)
        for at, piece in enumerate(pieces):
            ends = [] if at else [(_RIGHT - 120, row.quantity, font), (_RIGHT, row.amount, font)]
            self._line([(_LEFT, piece, font, _SIZE)], ends=ends)

    def _block(self, text: str, left: int, width: int, font: str, size: int) -> None:
        for piece in _wrapped(text, width, font, size):
            self._line([(left, piece, font, size)], lead=size + 4)

    def _rule(self) -> None:
        self._canvas.setLineWidth(0.5)
        self._canvas.line(_LEFT, self._y + 4, _RIGHT, self._y + 4)
        self._y -= 10

    def _line(
        self,
        begins: Sequence[tuple[int, str, str, int]],
        *,
        ends: Sequence[tuple[int, str, str]] = (),
        lead: int = _LEAD,
    ) -> None:
        if self._y < _BOTTOM:
            self._foot()
            self._canvas.showPage()
            self._sheet += 1
            self._y = _TOP
        for left, text, font, size in begins:
            self._draw(left, text, font, size)
        for right, text, font in ends:
            self._draw(right - _width(text, font, _SIZE), text, font, _SIZE)
        self._y -= lead

    def _draw(self, left: Any, text: str, font: str, size: int) -> None:
        if not text:
            return
        drawn = self._canvas.beginText(left, self._y)
        for name, piece in runs(text, font):
            drawn.setFont(name, size)
            drawn.textOut(piece)
        self._canvas.drawText(drawn)

    def _foot(self) -> None:
        kept, self._y = self._y, 36
        self._draw(_LEFT, f"{self._page.number} \u00b7 {self._sheet}", PLAIN, 8)
        self._y = kept


@cache
def _register(fonts: Path) -> None:
    for name in (PLAIN, BOLD):
        _FONTS.registerFont(TTFont(name, str(fonts.joinpath(f"{name}.ttf"))))
    for name in (_HAN, _KANA, _HANGUL):
        _FONTS.registerFont(UnicodeCIDFont(name))


def runs(text: str, font: str) -> list[Run]:
    """A text as pieces of one font each; kana say that what stands beside them is Japanese."""
    has = _FONTS.getFont(font).face.charToGlyph
    far = _KANA if any("\u3040" <= letter <= "\u30ff" for letter in text) else _HAN
    found: list[list[str]] = []
    for letter in text:
        name, shown = font, letter
        if ord(letter) not in has or ord(letter) > _PLANE:
            if "\uac00" <= letter <= "\ud7a3" or "\u1100" <= letter <= "\u11ff":
                name = _HANGUL
            elif _is_far(letter):
                name = far
            else:
                shown = _BOX
        if found and found[-1][0] == name:
            found[-1][1] += shown
        else:
            found.append([name, shown])
    return [(name, piece) for name, piece in found]


def _is_far(letter: str) -> bool:
    return "\u2e80" <= letter <= "\u9fff" or "\uf900" <= letter <= "\ufaff" or "\uff00" <= letter <= "\uffef"


def _width(text: str, font: str, size: int) -> Any:
    return sum(pdfmetrics.stringWidth(piece, name, size) for name, piece in runs(text, font))


def _wrapped(text: str, width: int, font: str, size: int) -> list[str]:
    """A text in lines of at most ``width`` points; a word that is longer is cut."""
    found: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if _width(longer, font, size) <= width:
            line = longer
            continue
        if line:
            found.append(line)
        line = ""
        for letter in word:
            if line and _width(line + letter, font, size) > width:
                found.append(line)
                line = ""
            line += letter
    return [*found, line]
