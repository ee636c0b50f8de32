"""Long texts: the little Markdown that is read, and nothing else becomes markup."""

from __future__ import annotations

from ruxa.access import terms
from ruxa.console import texts


def test_blocks() -> None:
    made = texts.blocks("# Title\n\n## Part\n\nOne\ntwo **three**.\n\n- a\n- b\n\n1. x\n2. y\n")
    assert [block.kind for block in made] == ["h1", "h2", "p", "ul", "ol"]
    assert made[2].lines[0] == "One two <strong>three</strong>."
    assert [str(line) for line in made[4].lines] == ["x", "y"]


def test_markup_is_escaped() -> None:
    assert str(texts.blocks("<script>alert(1)</script> **<b>**")[0].lines[0]) == (
        "&lt;script&gt;alert(1)&lt;/script&gt; <strong>&lt;b&gt;</strong>"
    )


def test_every_text_has_one_title_in_both_languages() -> None:
    for language in ("en", "zh"):
        for text in (
            texts.privacy(language),
            terms.document("terms", language).text,
            terms.document("refunds", language).text,
        ):
            assert [block.kind for block in texts.blocks(text)].count("h1") == 1
            assert len(texts.digest(text)) == 64
