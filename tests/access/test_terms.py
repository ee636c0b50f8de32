"""Terms: texts in both languages, published once, accepted once."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest

from fixtures_access import House, Person
from ruxa.access import terms
from ruxa.kernel.errors import Conflict


def test_each_document_is_there_in_each_language_with_its_version() -> None:
    texts = {(name, locale): terms.document(name, locale).text for name in terms.ACCEPTED for locale in terms.LOCALES}
    assert len(set(texts.values())) == len(terms.ACCEPTED) * len(terms.LOCALES)
    for text in texts.values():
        assert terms.CURRENT.isoformat() in text
        assert text.count("\n# ") + text.startswith("# ") == 1
    for name in terms.ACCEPTED:
        points = [texts[name, locale].count(".** ") + texts[name, locale].count("。** ") for locale in terms.LOCALES]
        assert points[0] == points[1] > 5


def test_languages_fall_back_to_english() -> None:
    assert [terms.locale_of(one) for one in ("zh", "zh-CN", "ZH-hant", "de", "", "en-GB")] == ["zh"] * 3 + ["en"] * 3


async def test_a_published_version_keeps_its_text(house: House) -> None:
    text = terms.document("terms", "en")
    async with house.console.work() as work:
        await terms.publish(work, text)
        await terms.publish(work, text)
        with pytest.raises(Conflict) as caught:
            await terms.publish(work, msgspec.structs.replace(text, text=text.text + "\nMore."))
        assert caught.value.code == "terms_changed"
        await terms.publish(work, msgspec.structs.replace(text, text="# Newer\n", version=date(2030, 1, 1)))


async def test_accepting_again_keeps_the_first_instant(house: House) -> None:
    _, member_id, _ = await house.owner()
    async with house.console.work() as work:
        before = await terms.accepted_by(work, member_id)
        await terms.accept(work, member_id, terms.CURRENT, "zh")
        assert await terms.accepted_by(work, member_id) == before
    assert {one.name for one in before} == set(terms.ACCEPTED)
    assert all(one.at.tzinfo is not None for one in before)
    assert Person().mark not in repr(before)
