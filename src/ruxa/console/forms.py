"""Forms: fields read into a typed struct, and what is wrong said beside the field.

A signed-in member's form carries the session's token (``access.sessions.check_csrf``). Forms of visitors carry none:
there is no session to ride on, and ``headers.same_origin`` has already refused a form that another site sent.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from ruxa.kernel import cards

T = TypeVar("T")
CSRF_FIELD = "_csrf"
DO_FIELD = "_do"


class Faults(Exception):
    """What is wrong with a form: field name -> key of the message to show beside it (``""`` for the whole form)."""

    def __init__(self, fields: Mapping[str, str], places: Mapping[str, object] | None = None) -> None:
        super().__init__(", ".join(sorted(fields)))
        self.fields = dict(fields)
        self.places = dict(places or {})


def read(kind: type[T], fields: Mapping[str, str]) -> T:
    """The form as ``kind``, a struct of strings, integers and booleans; blank fields count as absent.

    Raises Faults with ``form.needed`` or ``form.invalid`` at the first field that does not fit.
    """
    given = {name: value.strip() if name not in _VERBATIM else value for name, value in fields.items()}
    given = {name: value for name, value in given.items() if value != "" and not name.startswith("_")}
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Faults({_field(str(error), kind): _what(str(error))}) from None


_VERBATIM = frozenset({"password", "password_again", "password_now"})


def _field(text: str, kind: type) -> str:
    _, found, rest = text.rpartition("$.")
    if found:
        return rest.rstrip("`").split("[")[0]
    for name in sorted((field.encode_name for field in msgspec.structs.fields(kind)), key=len, reverse=True):
        if f"`{name}`" in text:
            return name
    return ""


def _what(text: str) -> str:
    return "form.needed" if "missing required" in text else "form.invalid"


def refuse_cards(fields: dict[str, list[str]]) -> dict[str, str]:
    """Masks card numbers in the fields of a form, in place; field -> the message to refuse it with.

    Passwords are left alone: they are never shown or kept. No field of ours is for a card (policy P6, P9).
    """
    found: dict[str, str] = {}
    for name, values in fields.items():
        if name in _VERBATIM or not any(map(cards.found, values)):
            continue
        fields[name] = [cards.masked(value) for value in values]
        found[name] = "form.card"
    return found


def micros(usd: str, field: str) -> int:
    """``"12.5"`` USD as micros, exactly; at most six decimals and twelve digits. Raises Faults on anything else."""
    whole, _, rest = usd.replace(",", "").partition(".")
    if not (whole or rest) or not (whole + rest).isascii() or not (whole + rest).isdigit():
        raise Faults({field: "form.amount"})
    if len(rest) > 6 or len(whole) > 12:
        raise Faults({field: "form.amount"})
    return int(whole or "0") * 1_000_000 + int(rest.ljust(6, "0"))


def cents(usd: str, field: str, *, least: int, most: int) -> int:
    """An amount that is paid, as micros: whole cents between ``least`` and ``most`` micros. Raises Faults.

    The message says what is wrong: not a number, another currency, a fraction of a cent, too little or too much.
    """
    text = usd.strip().replace("\u00a0", " ")
    for mark in ("USD", "usd", "$"):
        text = text.removesuffix(mark).removeprefix(mark).strip()
    if any(one.isalpha() or unicodedata.category(one) == "Sc" for one in text):
        raise Faults({field: "form.amount_currency"})
    if text[:1] in ("-", "\u2212"):
        raise Faults({field: "form.amount_negative"})
    whole, _, rest = text.replace(",", "").partition(".")
    if not (whole or rest) or not (whole + rest).isascii() or not (whole + rest).isdigit():
        raise Faults({field: "form.amount_paid"})
    if rest.rstrip("0")[2:]:
        raise Faults({field: "form.amount_cents"})
    amount = int(whole.lstrip("0")[:13] or "0") * 1_000_000 + int(rest[:6].ljust(6, "0"))
    if amount == 0:
        raise Faults({field: "form.amount_zero"})
    if not least <= amount <= most:
        raise Faults({field: "form.amount_bounds"}, {"least": _usd(least), "most": _usd(most)})
    return amount


def _usd(micros: int) -> str:
    """Whole dollars where it is that, as the message about bounds says them."""
    whole, rest = divmod(micros, 1_000_000)
    return f"{whole:,}" if rest == 0 else f"{whole:,}.{rest // 10_000:02d}"


def local_path(to: str | None, otherwise: str = "/") -> str:
    """``to`` when it is a path of this site: a redirect never leaves it."""
    if not to or not to.startswith("/") or to.startswith("//") or "\\" in to or not to.isprintable():
        return otherwise
    return to if not urlsplit(to).netloc else otherwise
