"""Lists: keyset pages both ways, and exports that a spreadsheet cannot run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ruxa.console import tables


def fetch(rows: list[int], before: int | None, after: int | None, size: int) -> list[int]:
    """What a keyset query gives: newest first, up to size + 1."""
    if after is not None:
        return sorted([row for row in rows if row > after])[: size + 1][::-1]
    return sorted([row for row in rows if before is None or row < before], reverse=True)[: size + 1]


@given(st.sets(st.integers(0, 10_000), max_size=60), st.integers(1, 10))
def test_walking_down_and_up_sees_every_row_once(found: set[int], size: int) -> None:
    rows = sorted(found, reverse=True)
    seen: list[int] = []
    pages: list[list[int]] = []
    before: str | None = None
    while True:
        part = fetch(rows, int(before) if before else None, None, size)
        leaf = tables.leaf(part, [str(row) for row in part], before=before, after=None, size=size)
        seen += leaf.rows
        pages.append(leaf.rows)
        if leaf.older is None:
            break
        before = leaf.older
    assert seen == rows
    for upper, lower in zip(pages[-2::-1], pages[:0:-1], strict=True):
        part = fetch(rows, None, lower[0], size)
        leaf = tables.leaf(part, [str(row) for row in part], before=None, after=str(lower[0]), size=size)
        assert leaf.rows == upper
        assert (leaf.newer is None) == (upper == pages[0])


def test_the_first_page_has_nothing_newer() -> None:
    assert tables.leaf([3, 2, 1], ["3", "2", "1"], before=None, after=None, size=2) == tables.Leaf([3, 2], None, "2")
    assert tables.leaf([], [], before=None, after=None) == tables.Leaf([], None, None)


def test_a_formula_stays_text() -> None:
    body = tables.as_csv(("name", "n"), [("=HYPERLINK(1)", 1), ("+1", None), ('a,"b"', -5)]).decode()
    assert body.splitlines() == ["name,n", "'=HYPERLINK(1),1", "'+1,", '"a,""b""",-5']


def test_a_page_goes_on_from_a_row_and_a_file_begins_at_the_newest() -> None:
    page = tables.asked({"find": " RX-1 ", "before": "order_1", "as": "pdf"})
    assert (page.find, page.file, page.before, page.limit) == ("RX-1", None, "order_1", tables.ROWS + 1)
    file = tables.asked({"before": "order_1", "as": "csv"})
    assert (file.find, file.file, file.before, file.limit) == ("", "csv", None, tables.EXPORT_ROWS_MAX)
