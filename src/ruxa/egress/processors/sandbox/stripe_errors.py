"""Stripe's error shapes."""

from __future__ import annotations

from ruxa.egress.processors.sandbox.books import Json, shown

_DOC = "https://stripe.com/docs/error-codes/"


class Refused(Exception):
    """A call that Stripe refuses. begun: it failed while it was carried out: its idempotency key keeps the answer."""

    def __init__(self, status: int, error: Json, *, begun: bool = False) -> None:
        super().__init__(status)
        self.status = status
        self.body: Json = {"error": error}
        self.begun = begun


def refuse(
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    status: int = 400,
    kind: str = "invalid_request_error",
) -> Refused:
    """An ``invalid_request_error``, or one of another ``kind``."""
    error: Json = {"message": message, "type": kind}
    if code:
        error |= {"code": code, "doc_url": _DOC + code.replace("_", "-")}
    if param:
        error["param"] = param
    return Refused(status, error)


def unknown(param: str) -> Refused:
    """A parameter that the call does not take."""
    return refuse(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)


def missing(param: str) -> Refused:
    """A parameter that the call needs."""
    return refuse(f"Missing required param: {param}.", code="parameter_missing", param=param)


def bad_type(kind: str, param: str, value: str = "") -> Refused:
    """A parameter of another type."""
    code = f"parameter_invalid_{kind}" if kind == "integer" else None
    return refuse(f"Invalid {kind}: {value or param}", code=code, param=param)


def no_such(what: str, id_: str, param: str = "id", *, status: int = 404) -> Refused:
    """An object that does not exist: 404 when it is the path's, 400 when a parameter names it."""
    return refuse(f"No such {what}: '{id_}'", code="resource_missing", param=param, status=status)


def state(message: str, code: str, intent: Json | None = None) -> Refused:
    """An object that is not in a state for this."""
    refused = refuse(message, code=code)
    if intent is not None:
        refused.body["error"][intent["object"]] = shown(intent)
    return refused


def declined(
    code: str, decline: str | None, message: str, intent: Json, method: Json | None, charge: str | None
) -> Refused:
    """A card that said no: 402, with the intent inside."""
    error: Json = {"code": code, "doc_url": _DOC + code.replace("_", "-"), "message": message, "type": "card_error"}
    if decline:
        error["decline_code"] = decline
        error["advice_code"] = "do_not_try_again" if decline in ("lost_card", "stolen_card") else "try_again_later"
    if charge:
        error["charge"] = charge
    if method is not None:
        error["payment_method"] = shown(method)
    error[intent["object"]] = shown(intent)
    return Refused(402, error, begun=True)
