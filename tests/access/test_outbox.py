"""The outbox: catalogues in both languages, sealed bodies, and mail that shows no more than it says."""

from __future__ import annotations

import string
from uuid import uuid4

import pytest

from fixtures_access import VISITOR, House, Person
from ruxa.access import entrance as door
from ruxa.access import members, outbox
from ruxa.access.terms import LOCALES
from ruxa.kernel.errors import NotFound
from ruxa.kernel.sealed import Sealed


def test_every_template_is_in_every_language_with_its_variables() -> None:
    for locale in LOCALES:
        letters = outbox.catalogue(locale)
        assert set(letters) == set(outbox.TEMPLATES)
        for template, variables in outbox.TEMPLATES.items():
            subject, text = letters[template]
            used = {field for _, field, _, _ in string.Formatter().parse(text) if field}
            assert used == variables, (locale, template)
            assert "{" not in subject
            assert 5 <= len(subject) <= 60
    english, chinese = outbox.catalogue("en"), outbox.catalogue("zh")
    assert not set(english.values()) & set(chinese.values())


async def test_a_letter_is_text_first_and_its_html_is_escaped(house: House) -> None:
    person = Person('<b>Bobby & "Co"</b>')
    await door.sign_up(house.door, person.form(), VISITOR)
    letter = (await house.deliver())[-1]
    plain, page = letter.text.open("communicate"), letter.html.open("communicate")
    assert 'Hello <b>Bobby & "Co"</b>,' in plain
    assert "Hello &lt;b&gt;Bobby &amp; &quot;Co&quot;&lt;/b&gt;," in page
    assert "<b>" not in page
    assert page.count("<a href=") == 1
    assert not [word for word in ("src=", "<script", "<img", "@import", "url(") if word in page]
    assert 'lang="en"' in page
    assert person.mark not in repr(letter)


async def test_a_name_that_is_an_address_becomes_no_link(house: House) -> None:
    await door.sign_up(house.door, Person("https://phishing.example/x").form(), VISITOR)
    page = (await house.deliver())[-1].html.open("communicate")
    assert 'href="https://phishing' not in page


async def test_braces_in_a_name_are_letters(house: House) -> None:
    await door.sign_up(house.door, Person("{url.__class__} {0}").form(), VISITOR)
    assert "{url.__class__} {0}" in (await house.deliver())[-1].text.open("communicate")


async def test_mail_speaks_the_members_language(house: House) -> None:
    await door.sign_up(house.door, Person().form(locale="zh-CN"), VISITOR)
    letter = (await house.deliver())[-1]
    assert letter.locale == "zh"
    assert letter.subject.open("communicate") == "请确认您的电子邮箱地址"


async def test_the_page_lists_without_a_person_and_reads_what_is_left(house: House) -> None:
    person = Person()
    await door.sign_up(house.door, person.form(), VISITOR)
    async with house.console.work() as work:
        line = (await outbox.page(work))[0]
        assert (line.template, line.locale, line.state, line.attempts, line.sent_at) == (
            "verify",
            "en",
            "waiting",
            0,
            None,
        )
        letter = await outbox.read(work, house.vault, line.id)
        assert letter is not None
        assert person.name.open("provide") in letter.text.open("communicate")
    await house.deliver()
    async with house.console.work() as work:
        line = (await outbox.page(work))[0]
        assert (line.state, line.attempts) == ("sent", 1)
        assert await outbox.read(work, house.vault, line.id) is None
        assert await outbox.page(work, after=line.id) == []
        with pytest.raises(NotFound):
            await outbox.read(work, house.vault, uuid4())


async def test_a_variable_the_template_does_not_declare_is_a_programmers_error(house: House) -> None:
    _, member_id, _ = await house.owner()
    async with house.console.work() as work:
        with pytest.raises(AssertionError):
            await outbox.put(work, house.vault, member_id, "known", {"url": Sealed("x"), "more": Sealed("y")})
        with pytest.raises(NotFound):
            await outbox.put(work, house.vault, uuid4(), "known", {"url": Sealed("x")})
        assert (await members.profile(work, house.vault, member_id)).verified
