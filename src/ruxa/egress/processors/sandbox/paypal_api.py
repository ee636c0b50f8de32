"""PayPal's API as a whole: tokens, routes, request ids, error shapes, amounts, links, events."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, cast
from urllib.parse import parse_qsl

import msgspec

from ruxa.egress.processors.sandbox.books import Books, Json, fresh_capitals, shown
from ruxa.egress.processors.sandbox.wire import Answer, Call

TOKEN_LIVES_S: Final = 32_400
KEYS_LIVE_S: Final = 45 * 24 * 3600
_VALUE: Final = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?\Z")


class Refused(Exception):
    """A call that PayPal refuses."""

    def __init__(
        self, status: int, name: str, message: str, issue: str = "", description: str = "", field: str = ""
    ) -> None:
        super().__init__(status)
        self.status = status
        detail: Json = {"issue": issue, "description": description or message}
        if field:
            detail |= {"field": field, "location": "body"}
        self.body: Json = {
            "name": name,
            "message": message,
            "debug_id": secrets.token_hex(7)[:13],
            "details": [detail] if issue else [],
            "links": [],
        }


class Ask(msgspec.Struct):
    """One call: of which object (``ids`` of the path), saying what."""

    books: Books
    call: Call
    ids: tuple[str, ...]
    body: Json

    @property
    def whole(self) -> bool:
        """Whether the caller wants the whole object back."""
        return "representation" in self.call.headers.get("prefer", "")


Act = Callable[[Ask], tuple[int, Any]]
_ROUTES: list[tuple[str, re.Pattern[str], Act]] = []


def route(method: str, path: str) -> Callable[[Act], Act]:
    """Registers a call; ``{}`` in the path is an id."""

    def register(act: Act) -> Act:
        _ROUTES.append((method, re.compile(re.escape(path).replace(r"\{\}", "([^/]+)") + r"\Z"), act))
        return act

    return register


def invalid(issue: str, description: str, field: str = "") -> Refused:
    """400: the request is not well-formed."""
    text = "Request is not well-formed, syntactically incorrect, or violates schema."
    return Refused(400, "INVALID_REQUEST", text, issue, description, field)


def unprocessable(issue: str, description: str, field: str = "") -> Refused:
    """422: the request is well-formed and can't be carried out."""
    text = "The requested action could not be performed, semantically incorrect, or failed business validation."
    return Refused(422, "UNPROCESSABLE_ENTITY", text, issue, description, field)


def find(books: Books, kind: str, id_: str) -> Json:
    """The object of a path. Raises Refused when there is none."""
    thing = books.get(kind, id_)
    if thing is None:
        text = "The specified resource does not exist."
        raise Refused(404, "RESOURCE_NOT_FOUND", text, "INVALID_RESOURCE_ID", "Specified resource ID does not exist.")
    return thing


def stamp(seconds: int) -> str:
    """A time as PayPal writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> int:
    """Seconds of a time that a caller wrote. Raises Refused."""
    try:
        read = datetime.fromisoformat(
            re.sub(r"([+-]\d{2})(\d{2})\Z", r"\1:\2", text.replace("Z", "+00:00").replace(" ", "+"))
        )
    except ValueError:
        raise invalid(
            "INVALID_PARAMETER_SYNTAX", "The value of a field does not conform to the expected format."
        ) from None
    return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())


def money(cents: int) -> Json:
    """An amount as PayPal writes it."""
    sign = "-" if cents < 0 else ""
    return {"currency_code": "USD", "value": f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"}


def parts_of(value: object, field: str) -> list[Json]:
    """The objects of a list that a caller wrote; at least one. Raises Refused."""
    found = cast("list[object]", value) if isinstance(value, list) else []
    if not found or not all(isinstance(one, dict) for one in found):
        raise invalid("MISSING_REQUIRED_PARAMETER", "A required field / parameter is missing.", field)
    return cast("list[Json]", found)


def cents_of(amount: object, field: str) -> int:
    """Cents of an amount that a caller wrote. Raises Refused."""
    if not isinstance(amount, dict):
        raise invalid("MISSING_REQUIRED_PARAMETER", "A required field / parameter is missing.", field)
    read = cast(Json, amount)
    currency, value = read.get("currency_code"), read.get("value")
    if not isinstance(currency, str) or not isinstance(value, str):
        raise invalid("MISSING_REQUIRED_PARAMETER", "A required field / parameter is missing.", f"{field}/value")
    if currency != "USD":
        raise unprocessable(
            "CURRENCY_NOT_SUPPORTED", "Currency code is not currently supported.", f"{field}/currency_code"
        )
    if not _VALUE.match(value):
        text = "If the currency supports decimals, only two decimal place precision is supported."
        raise unprocessable("DECIMAL_PRECISION", text, f"{field}/value")
    whole, _, part = value.partition(".")
    cents = int(whole) * 100 + int(part.ljust(2, "0") or 0)
    if cents <= 0:
        raise unprocessable("CANNOT_BE_ZERO_OR_NEGATIVE", "Must be greater than zero.", f"{field}/value")
    return cents


def link(books: Books, path: str, rel: str, method: str = "GET") -> Json:
    """A link of PayPal's kind."""
    return {"href": books.access.url + path, "rel": rel, "method": method}


def emit(books: Books, kind: str, resource_type: str, summary: str, resource: Json) -> Json:
    """Note an event about ``resource`` as it is now and have it told."""
    id_ = f"WH-{fresh_capitals()}-{fresh_capitals()}"
    path = f"/v1/notifications/webhooks-events/{id_}"
    event: Json = {
        "id": id_,
        "event_version": "1.0",
        "create_time": stamp(books.now()),
        "resource_type": resource_type,
        "resource_version": "2.0",
        "event_type": kind,
        "summary": summary,
        "resource": msgspec.json.decode(msgspec.json.encode(shown(resource))),
        "links": [link(books, path, "self"), link(books, f"{path}/resend", "resend", "POST")],
        "_at": books.now(),
    }
    books.put("paypal.event", event)
    books.told("paypal", event)
    return event


def answer(books: Books, call: Call) -> Answer:
    """The answer to a call. Its effects are in the books when it returns."""
    headers = {"paypal-debug-id": secrets.token_hex(7)[:13], "cache-control": "no-store"}
    try:
        if call.path == "/v1/oauth2/token" and call.method == "POST":
            return _done(*_token(books, call), headers)
        _authenticate(books, call)
        act, ids = _routed(call)
        body = _body(call)
        request_id = call.headers.get("paypal-request-id") if call.method == "POST" else None
        ask = Ask(books, call, ids, body)
        if request_id is None:
            return _done(*act(ask), headers)
        return _done(*_once(books, ask, act, request_id), headers)
    except Refused as refused:
        return _done(refused.status, refused.body, headers)


def _once(books: Books, ask: Ask, act: Act, request_id: str) -> tuple[int, Any]:
    """The answer of the first call with this id. What was refused may be tried again with it."""
    digest = hashlib.sha256(msgspec.json.encode(ask.body, order="deterministic")).hexdigest()
    name = f"{ask.call.path} {request_id}"
    kept = books.get("paypal.key", name)
    if kept is not None and kept["at"] > books.now() - KEYS_LIVE_S:
        if kept["digest"] != digest:
            text = (
                "The value of PayPal-Request-Id header has already been used. Specify a different value and try again."
            )
            raise unprocessable("DUPLICATE_REQUEST_ID", text)
        return kept["status"], kept["body"]
    if mock := ask.call.headers.get("paypal-mock-response"):
        try:
            code = msgspec.json.decode(mock, type=dict[str, str]).get("mock_application_codes")
        except msgspec.MsgspecError:
            raise invalid("INVALID_PARAMETER_SYNTAX", "PayPal-Mock-Response can not be read.") from None
        if code:
            raise unprocessable(code, "This was asked for by PayPal-Mock-Response.")
    status, body = act(ask)
    books.put("paypal.key", {"id": name, "digest": digest, "status": status, "body": body, "at": books.now()})
    return status, body


def _done(status: int, body: object, headers: dict[str, str]) -> Answer:
    return Answer(status=status, headers=headers, body=b"" if body is None else msgspec.json.encode(body))


def _token(books: Books, call: Call) -> tuple[int, Json]:
    scheme, _, value = call.headers.get("authorization", "").partition(" ")
    try:
        given = base64.b64decode(value).decode() if scheme.lower() == "basic" else ""
    except ValueError:
        given = ""
    if given != f"{books.access.paypal_client_id}:{books.access.paypal_client_secret}":
        return 401, {"error": "invalid_client", "error_description": "Client Authentication failed"}
    if dict(parse_qsl(call.body.decode("utf-8", "replace"))).get("grant_type") != "client_credentials":
        return 400, {"error": "unsupported_grant_type", "error_description": "Grant Type is NULL or not supported"}
    token = "A21AA" + secrets.token_urlsafe(48)
    books.put("paypal.token", {"id": token, "until": books.now() + TOKEN_LIVES_S})
    return 200, {
        "scope": "https://uri.paypal.com/services/payments/realtimepayment https://uri.paypal.com/services/reporting",
        "access_token": token,
        "token_type": "Bearer",
        "app_id": "APP-80W284485P519543T",
        "expires_in": TOKEN_LIVES_S,
        "nonce": f"{stamp(books.now())}{secrets.token_urlsafe(24)}",
    }


def _authenticate(books: Books, call: Call) -> None:
    scheme, _, value = call.headers.get("authorization", "").partition(" ")
    token = books.get("paypal.token", value.strip()) if scheme.lower() == "bearer" else None
    if token is None or token["until"] <= books.now():
        text = "Authentication failed due to invalid authentication credentials or a missing Authorization header."
        raise Refused(401, "AUTHENTICATION_FAILURE", text)


def _routed(call: Call) -> tuple[Act, tuple[str, ...]]:
    for method, pattern, act in _ROUTES:
        if method == call.method and (found := pattern.match(call.path)):
            return act, found.groups()
    raise Refused(404, "RESOURCE_NOT_FOUND", "The specified resource does not exist.")


def _body(call: Call) -> Json:
    if call.method == "GET" or not call.body.strip():
        return {}
    kind = call.headers.get("content-type", "").partition(";")[0].strip()
    raw = call.body
    if kind == "multipart/form-data":
        raw = _input_part(call)
    elif kind != "application/json":
        text = "The server does not support the request payload's media type."
        raise Refused(415, "UNSUPPORTED_MEDIA_TYPE", text)
    try:
        read = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise invalid("MALFORMED_REQUEST_JSON", "The request JSON is not well formed.") from None
    if not isinstance(read, dict):
        raise invalid("MALFORMED_REQUEST_JSON", "The request JSON is not well formed.")
    return cast(Json, read)


def _input_part(call: Call) -> bytes:
    """The JSON of the part named ``input``; attached files are not kept."""
    boundary = re.search(r'boundary="?([^";]+)', call.headers.get("content-type", ""))
    for part in call.body.split(b"--" + boundary[1].encode()) if boundary else ():
        head, _, body = part.partition(b"\r\n\r\n")
        if b'name="input"' in head:
            return body.rstrip(b"\r\n")
    raise invalid("MISSING_REQUIRED_PARAMETER", "A required field / parameter is missing.", "input")
