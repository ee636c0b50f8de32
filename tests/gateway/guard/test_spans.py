"""What a guard finds: true numbers and keys of every kind, and nothing that only looks like one; in linear time."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from json_texts import examples
from ruxa.access import keys
from ruxa.access.guards import KINDS, USUAL, Kind
from ruxa.gateway.guard import spans

FINDS: list[tuple[Kind, str]] = [
    ("email", "bob@example.com"),
    ("email", "bob.o'neil+tag@mail.example.co.uk"),
    ("email", "jürgen@müller.de"),
    ("email", "用户@例子.中国"),
    ("phone", "+49 170 1234567"),
    ("phone", "+1 (212) 555-0143"),
    ("phone", "+8613812345678"),
    ("phone", "0049 30 123456-78"),
    ("phone", "(212) 555-0143"),
    ("phone", "212-555-0143"),
    ("phone", "020 7946 0958"),
    ("phone", "01 23 45 67 89"),
    ("phone", "0170/1234567"),
    ("phone", "13812345678"),
    ("phone", "98765 43210"),
    ("iban", "DE89370400440532013000"),
    ("iban", "DE89 3704 0044 0532 0130 00"),
    ("iban", "GB82WEST12345698765432"),
    ("iban", "FR14 2004 1010 0505 0001 3M02 606"),
    ("iban", "NO9386011117947"),
    ("iban", "mt84malt011000012345mtlcast001s"),
    ("card", "4111111111111111"),
    ("card", "4111 1111 1111 1111"),
    ("card", "5555-5555-5555-4444"),
    ("card", "378282246310005"),
    ("card", "3782 822463 10005"),
    ("card", "6011000990139424"),
    ("card", "4222222222222"),
    ("ip", "192.168.1.10"),
    ("ip", "8.8.8.8"),
    ("ip", "2001:db8::8a2e:370:7334"),
    ("ip", "2001:0db8:85a3:0000:0000:8a2e:0370:7334"),
    ("ip", "fe80::1ff:fe23:4567:890a"),
    ("national_id", "123-45-6789"),
    ("national_id", "AB123456C"),
    ("national_id", "AB 12 34 56 C"),
    ("national_id", "86095742719"),
    ("national_id", "86 095 742 719"),
    ("national_id", "185057800608491"),
    ("national_id", "1 85 05 78 006 084 91"),
    ("national_id", "1 85 05 2A 006 084 35"),
    ("national_id", "12345678Z"),
    ("national_id", "12345678-Z"),
    ("national_id", "X1234567L"),
    ("national_id", "X-1234567-L"),
    ("national_id", "44051401359"),
    ("national_id", "11010519491231002X"),
    ("national_id", "234123412346"),
    ("national_id", "2341 2341 2346"),
    ("national_id", "529.982.247-25"),
    ("national_id", "52998224725"),
    ("secret", "AKIAIOSFODNN7EXAMPLE"),
    ("secret", "ghp_" + "aB3" * 12),
    ("secret", "github_pat_" + "a1_" * 10),
    ("secret", "glpat-" + "x" * 20),
    ("secret", "sk-proj-" + "Ab1_" * 10),
    ("secret", "sk-ant-api03-" + "Ab1-" * 20),
    ("secret", "AIza" + "Sy1" * 11 + "ab"),
    ("secret", "sk_live_" + "a1B2" * 6),
    ("secret", "whsec_" + "a1B2" * 6),
    ("secret", "xoxb-123456789012-abcdef"),
    ("secret", "hooks.slack.com/services/T000/B000/XXXXXXXXXXXX"),
    ("secret", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"),
    ("secret", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----"),
    ("secret", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQ\n-----END PGP PRIVATE KEY BLOCK-----"),
    ("secret", "-----BEGIN PRIVATE KEY-----\nno end"),
    ("secret", keys.draw(True)),
    ("secret", keys.draw(False)),
]


def _name(kind: Kind, told: str) -> str:
    """The same in every process that collects: our own keys are drawn anew in each."""
    return f"{kind} {told[: 8 if told.startswith('rx_') else 24]!r}"


@pytest.mark.parametrize(("kind", "told"), FINDS, ids=[_name(kind, told) for kind, told in FINDS])
def test_it_finds_what_is_one(kind: Kind, told: str) -> None:
    for before, after in (("", ""), ("see ", " there"), ("[", "]"), ("是：", "。"), ("a\n", "\nb"), ('"', '",')):
        if told.endswith("no end"):
            after = ""
        text = before + told + after
        found = spans.find(text, frozenset({kind}))
        assert [(span.kind, text[span.start : span.end]) for span in found] == [(kind, told)]
        assert spans.find(text, USUAL)
        assert not spans.find(text, frozenset(KINDS) - {kind} - _akin(kind))


def _akin(kind: Kind) -> frozenset[Kind]:
    """Kinds whose numbers look alike: one may well be the other."""
    numbers: frozenset[Kind] = frozenset({"phone", "iban", "card", "national_id", "ip"})
    return numbers if kind in numbers else frozenset()


NONE = [
    "a plain sentence, with a comma; and 3 numbers: 12, 345 and 6789.",
    "bob@localhost and @mention and a@b",
    "4111111111111112",  # the last digit is wrong
    "4444444444444444",
    "DE89370400440532013001",
    "GB82 WEST 1234",
    "XX89370400440532013000",
    "000-12-3456, 666-12-3456, 900-12-3456, 123-00-4567, 123-45-0000",
    "BG123456C",
    "12345678A",
    "X1234567M",
    "110105194912310021",
    "234123412347",
    "529.982.247-26",
    "11111111111",
    "86095742710",
    "44051401358",
    "127.0.0.1 0.0.0.0 256.1.1.1 1.2.3",
    "std::vector<int> a::b at 12:30:45",
    "On 01/02/2023 10:00, order 2024-01-15 10:30:00 and 20240115103000",
    "3.14159265358979 and 0.05 and 1e10",
    "sk-short ghp_short AKIAshort AIza xoxb-1",
    "rx_live_" + "0" * 39,
    "eyJhbGciOiJIUzI1NiJ9 alone",
    "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
    "skeleton-key-for-a-very-long-word-without-spaces",
]


@pytest.mark.parametrize("text", NONE)
def test_it_finds_nothing_in_what_is_none(text: str) -> None:
    assert spans.find(text, USUAL) == []


def test_aws_secrets_are_known_by_what_stands_before_them() -> None:
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    for text in (f"aws_secret_access_key = {secret}", f'"AWS_SECRET_KEY": "{secret}"', f"awsSecretAccessKey={secret}"):
        found = spans.find(text, USUAL)
        assert [text[span.start : span.end] for span in found] == [secret]
    assert spans.find(secret, USUAL) == []


def test_a_card_with_more_groups_behind_it_and_finds_that_touch() -> None:
    text = "4111 1111 1111 1111 12/27 123, bob@example.com,eve@example.com"
    found = [text[span.start : span.end] for span in spans.find(text, USUAL)]
    assert found == ["4111 1111 1111 1111", "bob@example.com", "eve@example.com"]


def test_only_what_was_asked_for_is_looked_for() -> None:
    text = "bob@example.com +49 170 1234567"
    assert [span.kind for span in spans.find(text, frozenset({"email"}))] == ["email"]
    assert spans.find(text, frozenset()) == []


PIECES = st.one_of(
    st.sampled_from([told for _, told in FINDS]),
    st.text(max_size=8),
    st.text(string.digits + " -.()/+:", max_size=24),
    st.text(string.ascii_uppercase + string.digits + " ", max_size=24),
)


@given(text=st.lists(PIECES, max_size=8).map(" ".join))
@settings(max_examples=examples(100), deadline=None)
def test_finds_are_in_order_and_apart(text: str) -> None:
    found = spans.find(text, USUAL)
    last = 0
    for span in found:
        assert last <= span.start < span.end <= len(text)
        last = span.end


HOSTILE = [
    "a", "1", "1 ", "1.", "+1", "@", "a@", "@a.", "a@b.", "AA99", "AA 99", "9999999-", "2A", "::", "a:", "1:", "sk-",
    "eyJ", "eyJ.", ".eyJ", "ghp_", "AKIA", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----END ", "aws_secret_key=",
    "aws", "rx_live_", "4111 ", "0-", "(0", "00", "é", "日", "\ud800", "DE89 ", "12:", "xoxb-", "1/", "1-1.1 ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_grows_with_the_text_alone(piece: str) -> None:
    """Four times the text takes about four times as long, whatever it is made of; at the worst ten."""

    def cost(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        best = 1e9
        for _ in range(3):
            begun = time.process_time()
            spans.find(text, USUAL)
            best = min(best, time.process_time() - begun)
        return best

    small, large = cost(30_000), cost(120_000)
    assert large < max(small, 0.002) * 10
    assert large < 2.0
