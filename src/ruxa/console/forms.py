"""Forms: fields read into a typed struct, and what is wrong said beside the field.

A signed-in member's form carries the session's token (``access.sessions.check_csrf``). Forms of visitors carry none:
there is no session to ride on, and ``headers.same_origin`` has already refused a form that another site sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

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


def micros(usd: str, field: str) -> int:
    """``"12.5"`` USD as micros, exactly; at most six decimals and twelve digits. Raises Faults on anything else."""
    whole, _, rest = usd.replace(",", "").partition(".")
    if not (whole or rest) or not (whole + rest).isascii() or not (whole + rest).isdigit():
        raise Faults({field: "form.amount"})
    if len(rest) > 6 or len(whole) > 12:
        raise Faults({field: "form.amount"})
    return int(whole or "0") * 1_000_000 + int(rest.ljust(6, "0"))


def local_path(to: str | None, otherwise: str = "/") -> str:
    """``to`` when it is a path of this site: a redirect never leaves it."""
    if not to or not to.startswith("/") or to.startswith("//") or "\\" in to or not to.isprintable():
        return otherwise
    return to if not urlsplit(to).netloc else otherwise
