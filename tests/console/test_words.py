"""Catalogues: every language has every key and place, every key that is used exists, no page writes a text itself."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import Markup

from ruxa.access import roles, terms
from ruxa.console import money, shown, texts, words
from ruxa.console.pages.keys.page import OFFERED
from ruxa.console.pages.playground.page import WORDS
from ruxa.console.pages.retention.page import OWN
from ruxa.ledger import prices
from ruxa.privacy.retention import stores

CONSOLE = Path(words.__file__).parent
TEMPLATES = sorted([*CONSOLE.glob("templates/*.html"), *CONSOLE.glob("pages/*/page.html")])
REFERENCE = words.load("en")
# Names that are the same in every language.
NAMES = {
    "Ruxa",
    "USD",
    "CSV",
    "JSON",
    "PDF",
    "OpenAPI 3.1",
    "curl",
    "Python",
    "OpenAI chat completions",
    "security.txt",
} | {
    "Anthropic messages",
    "Gemini generateContent",
}


def places(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


@pytest.mark.parametrize("language", [one for one in words.LANGUAGES if one != "en"])
def test_every_language_has_every_key_and_place(language: words.Language) -> None:
    other = words.load(language)
    missing = {key for key in REFERENCE if key not in other and not key.endswith(".one")}
    assert not missing
    assert not set(other) - set(REFERENCE)
    assert not {key for key, text in other.items() if places(text) != places(REFERENCE[key])}
    assert not {key for key, text in other.items() if not text.strip()}


def used_keys() -> set[str]:
    """Keys that code and templates name, and those that they put together from a closed list."""
    found: set[str] = set()
    for file in [*TEMPLATES, *CONSOLE.rglob("*.py")]:
        text = file.read_text(encoding="utf-8")
        found |= set(re.findall(r"""["']((?:[a-z_]+)\.(?:[a-z0-9_]+))["']""", text))
        for prefix in re.findall(r"""["'f]((?:[a-z_]+)\.(?:[a-z_]*))["']?\s*(?:~|\{)""", text):
            found |= {key for key in REFERENCE if key.startswith(prefix)}
    return found


def test_every_key_that_is_used_exists() -> None:
    areas = {key.partition(".")[0] for key in REFERENCE}
    named: set[str] = set()
    for file in TEMPLATES:
        text = file.read_text(encoding="utf-8")
        named |= set(re.findall(r"""\bt\(["']([a-z_]+\.[a-z0-9_]+)["'][,)]""", text))
        named |= {
            key for key in re.findall(r"""["']([a-z_]+\.[a-z0-9_]+)["']""", text) if key.partition(".")[0] in areas
        }
    known = set(REFERENCE) | {key.rpartition(".")[0] for key in REFERENCE if key.endswith(".other")}
    assert not {key for key in named - known if not key.endswith(("_", ".html"))}


def test_keys_that_are_put_together_exist() -> None:
    known = set(REFERENCE)
    made = {f"role.{role}" for role in roles.ROLES} | {f"role.{role}_text" for role in roles.ROLES}
    made |= {f"staff_role.{role}" for role in roles.STAFF_ROLES}
    for scope, _ in OFFERED:
        name = scope.replace(":*", "").replace(":", "_")
        made |= {f"scopes.{name}", f"scopes.{name}_text"}
    made |= {f"class.{name}" for name in prices.CLASSES} | set(money.LINE_KEYS.values())
    made |= {f"keys.state_{state}" for state in ("active", "expiring", "expired", "revoked")}
    made |= {f"call.source_{source}" for source in ("provider", "counted", "policy", "none")}
    made |= {f"playground.{word}" for word in WORDS}
    made |= {f"proof.I{number}" for number in range(1, 16)}
    for one in stores.classes():
        if one.name not in OWN:
            made |= {f"retention.{one.name}", f"retention.{one.name}_what", f"retention.from_{one.clock}"}
    assert not made - known


def test_no_message_is_left_over() -> None:
    unused = {key.removesuffix(".one").removesuffix(".other") for key in REFERENCE} - used_keys()
    kept = (
        "terms.link",
        "refunds.link",
        "privacy.link",
        "error.title_",
        "error.text_",
        "fault.",
        "done.",
        "endpoint.",
        "proof.",
        "scopes.",
        "playground.",
        "menu.",
        "document.",
        "act.",
        "organisation.",
        "retention.unit_",
    )
    assert not {key for key in unused if not key.startswith(kept) and not key.endswith(".title")}


class Literals(HTMLParser):
    """Collects what a template says in its own words, in text and in attributes that people read or hear."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.silent += tag in ("svg", "script", "style")
        for name, value in attrs:
            if name in ("title", "placeholder", "alt", "aria-label", "label") and value:
                self.handle_data(value)

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in ("svg", "script", "style")

    def handle_data(self, data: str) -> None:
        text = re.sub(r"[\s§·]+", " ", data).strip()
        if not self.silent and re.search(r"[A-Za-z一-鿿]{2,}", text) and text not in NAMES:
            self.found.append(text)


def literals(source: str) -> list[str]:
    parser = Literals()
    parser.feed(re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", "§", source, flags=re.DOTALL))
    return parser.found


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_template_speaks_for_itself(template: Path) -> None:
    assert not literals(template.read_text(encoding="utf-8"))


def test_a_literal_is_found() -> None:
    assert literals('<p>{{ t("a.b") }} Hello there</p>') == ["Hello there"]
    assert literals('<input placeholder="Your name">') == ["Your name"]
    assert not literals('<p>{{ "Hello" }}</p>')


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_the_notice_says_what_is_kept_how_long_as_it_is_done(language: words.Language) -> None:
    """The numbers of the promise, in service and for the last copy, and nothing that is not enforced."""
    said = texts.privacy(language)
    unit = {"en": " days", "zh": " 天"}[language]
    for days in ("83", "90", "23", "30"):
        assert f"{days}{unit}" in said
    assert "/privacy/retention" in said
    not_yet = {"en": "not part of this release", "zh": "本版本不含"}[language]
    assert not {key for key, text in {**words.load(language), "privacy": said}.items() if not_yet in text}


# One thing, one word: what else it could be called -> the word of the catalogue.
ONE_WORD = {
    "zh": {
        "运营方": "运营者",
        "提供商": "提供方",
        "供应商": "提供方",
        "吊销": "撤销",
        "密文": "密钥值",
        "应答": "回答",
        "令牌数": "词元数",
        "标记数": "词元数",
        "API 密钥": "密钥",
    },
    "en": {
        "organization": "organisation",
        "vendor key": "provider's key",
        "access token": "API key",
        "api token": "API key",
    },
}


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_one_thing_has_one_word_in_pages_and_long_texts(language: words.Language) -> None:
    long = [*CONSOLE.glob(f"catalogues/*.{language}.md"), *Path(terms.__file__).parent.glob(f"terms/*.{language}.md")]
    assert len(long) >= 3
    said = {**words.load(language), **{path.name: path.read_text(encoding="utf-8") for path in long}}
    found = {
        (where, word, meant)
        for where, text in said.items()
        for word, meant in ONE_WORD[language].items()
        if word in text.lower() or word in text
    }
    assert not found


def test_the_terms_promise_nothing_that_no_page_does() -> None:
    """Exports and refunds by the console come later: until then the terms send people to the operator."""
    for language in words.LANGUAGES:
        for name in ("terms", "refunds"):
            text = terms.document(name, language).text
            assert not re.search(r"take your data|带走|under billing,|账单页面提出|it is not stored", text), (
                name,
                language,
            )


def test_scripts_take_their_words_from_the_page() -> None:
    for file in [*CONSOLE.glob("static/*.js"), *CONSOLE.glob("pages/*/page.js")]:
        said = re.findall(r"(?:textContent|innerText|title|placeholder)\s*[:=]\s*([\"'`])(.*?)\1", file.read_text())
        assert not [text for _, text in said if re.search(r"[A-Za-z]{2,}", text)], file.name


def test_values_are_escaped_and_markup_stays() -> None:
    library = words.Library()
    said = library.words("en").t("keys.ready", name="<b>")
    assert str(said) == "Key &lt;b&gt; is ready"
    assert "<i>x</i>" in library.words("en").t("keys.ready", name=Markup("<i>x</i>"))


def test_plurals_money_and_times() -> None:
    english, chinese = words.Library().words("en"), words.Library().words("zh")
    assert english.plain("keys.count", n=1) == "1 key"
    assert english.plain("keys.count", n=2) == "2 keys"
    assert chinese.plain("keys.count", n=1) == "1 个密钥"
    assert english.amount(-1_234_567_891) == "−1,234.56"
    assert english.amount(51, 6) == "0.000051"
    assert [english.amount(one) for one in (0, 51, -1000, 9_999, 10_000)] == [
        "0.00",
        "0.000051",
        "−0.001",
        "0.009999",
        "0.01",
    ]
    assert [english.exact(one) for one in (1000, 12_345_600, 3_000_000)] == ["0.001", "12.3456", "3.00"]
    assert [english.spend(one) for one in (51, 12_345, 123_456_789)] == ["0.000051", "0.0123", "123.45"]
    at = datetime(2026, 11, 24, 5, 6, 7, tzinfo=UTC)
    assert english.moment(at) == "24 Nov 2026, 05:06:07 UTC"
    assert chinese.moment(at) == "2026年11月24日 05:06:07 UTC"
    assert [english.span(one) for one in (12, 2410, 200_000)] == ["12 ms", "2.41 s", "3 min"]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,zh;q=0.9", "en"),
        ("de-DE,de", "en"),
        ("fr;q=1, zh;q=0.1", "zh"),
        ("zh;q=broken, en;q=0.2", "en"),
    ],
)
def test_the_browser_s_language(header: str, language: str) -> None:
    assert words.prefer(header) == language


def test_a_code_sample_names_the_server() -> None:
    assert "http://h:1/v1" in shown.curl("http://h:1", "sandbox/chat")
    compile(shown.sdk("http://h:1", "sandbox/chat"), "sample", "exec")
