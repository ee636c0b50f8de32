"""Stripe's API as a whole: keys, versions, request ids, idempotency, routes, pages of lists, expansion."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import msgspec

from ruxa.egress.processors.sandbox.access import STRIPE_ACCOUNT
from ruxa.egress.processors.sandbox.books import Books, Json, fresh, shown
from ruxa.egress.processors.sandbox.forms import Form, decode, read
from ruxa.egress.processors.sandbox.stripe_errors import Refused, no_such, refuse
from ruxa.egress.processors.sandbox.wire import Answer, Call

VERSION: Final = "2026-10-28.endive"
KEYS_LIVE_S: Final = 24 * 3600
_VERSION_FORM: Final = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?\Z")
# What an id in such a member points to, and so what may be expanded.
_EXPANDABLE: Final = frozenset(
    {
        "balance_transaction",
        "charge",
        "customer",
        "failure_balance_transaction",
        "latest_charge",
        "payment_intent",
        "payment_method",
        "setup_intent",
        "source",
    }
)
# Members that are shown only when asked for; they are kept under the same name with ``_``.
_INCLUDABLE: Final = frozenset({"line_items", "refunds"})


class Ask(msgspec.Struct):
    """One call to the API: who asks what of which object. ``ids``: of the path; ``key``: its idempotency key."""

    books: Books
    form: Form
    ids: tuple[str, ...]
    key: str | None
    request_id: str


# Kinds of the books that Stripe calls otherwise.
_CALLED: Final = {"session": "checkout.session", "txn": "balance_transaction", "endpoint": "webhook_endpoint"}
Act = Callable[[Ask], Json]
_ROUTES: list[tuple[str, re.Pattern[str], Act]] = []


def route(method: str, path: str) -> Callable[[Act], Act]:
    """Registers a call; ``{}`` in the path is an id."""

    def register(act: Act) -> Act:
        _ROUTES.append((method, re.compile(re.escape(path).replace(r"\{\}", "([^/]+)") + r"\Z"), act))
        return act

    return register


def find(books: Books, kind: str, id_: str, param: str | None = None) -> Json:
    """The object of a path, or of a parameter. Raises Refused when there is none."""
    thing = books.get(kind, id_)
    if thing is None:
        raise no_such(_CALLED.get(kind, kind), id_, param or "id", status=400 if param else 404)
    return thing


def listed(ask: Ask, things: Iterable[Json], url: str) -> Json:
    """One page of ``things`` (newest first): ``limit``, ``starting_after``, ``ending_before``, ``created``."""
    form = ask.form
    limit = form.whole("limit") if form.has("limit") else 10
    if limit is None or not 1 <= limit <= 100:
        raise refuse("This value must be between 1 and 100.", param="limit")
    kept = [one for one in things if _created(form, one)]
    after, before = form.text("starting_after"), form.text("ending_before")
    if after and before:
        raise refuse("You cannot specify both starting_after and ending_before.", param="ending_before")
    backwards = before is not None
    if mark := after or before:
        at = next((at for at, one in enumerate(kept) if one["id"] == mark), None)
        if at is None:
            raise no_such("object", mark, "starting_after" if after else "ending_before", status=400)
        kept = kept[:at] if backwards else kept[at + 1 :]
    page = kept[-limit:] if backwards else kept[:limit]
    return {"object": "list", "data": page, "has_more": len(kept) > len(page), "url": url}


def _created(form: Form, thing: Json) -> bool:
    value = form.tree.get("created")
    if value is None:
        return True
    if isinstance(value, str):
        return bool(thing["created"] == form.whole("created"))
    span = form.part("created")
    assert span is not None
    span.only("gt", "gte", "lt", "lte")
    at: int = thing["created"]
    gt, gte, lt, lte = (span.whole(name) for name in ("gt", "gte", "lt", "lte"))
    return not (
        (gt is not None and at <= gt)
        or (gte is not None and at < gte)
        or (lt is not None and at >= lt)
        or (lte is not None and at > lte)
    )


def rendered(books: Books, thing: Json, paths: Iterable[str]) -> Json:
    """The object as shown, with ``paths`` expanded. Raises Refused for a path that leads nowhere."""
    if thing.get("object") == "list":
        below = [path.removeprefix("data.") for path in paths]
        if any(path == below[at] for at, path in enumerate(paths)):
            raise _unexpandable(next(iter(paths)))
        return {**shown(thing), "data": [rendered(books, one, below) for one in thing["data"]]}
    out = shown(thing)
    for path in paths:
        name, _, rest = path.partition(".")
        if name in _INCLUDABLE and f"_{name}" in thing:
            out[name] = rendered(books, thing[f"_{name}"], [f"data.{rest}"] if rest else [])
            continue
        value = out.get(name)
        if name not in out or (name not in _EXPANDABLE and not rest):
            raise _unexpandable(path)
        if isinstance(value, str):
            value = books.any(value)
            if value is None:
                raise _unexpandable(path)
        if isinstance(value, dict):
            # A member that an earlier path has expanded is expanded further.
            inner = books.any(str(cast(Json, value).get("id", ""))) or cast(Json, value)
            deeper = [p.partition(".")[2] for p in paths if p.partition(".")[0] == name and "." in p]
            out[name] = rendered(books, inner, deeper)
    return out


def _unexpandable(path: str) -> Refused:
    return refuse(f"This property cannot be expanded ({path}).", param="expand")


def answer(books: Books, call: Call) -> Answer:
    """The answer to a call below ``/v1/``. Its effects are in the books when it returns."""
    request_id = fresh("req_", 14)
    headers = {"request-id": request_id, "stripe-version": call.headers.get("stripe-version", VERSION)}
    try:
        _authenticate(books, call)
        act, ids = _routed(call)
        key = call.headers.get("idempotency-key") if call.method != "GET" else None
        if key is not None:
            return _once(books, call, act, ids, key, headers)
        return _done(_carried(books, call, act, ids, None, request_id), headers)
    except Refused as refused:
        return _done((refused.status, refused.body), headers, request_id)


def _carried(
    books: Books, call: Call, act: Act, ids: tuple[str, ...], key: str | None, request_id: str
) -> tuple[int, Json]:
    form = Form(decode(call.query)) if call.method in ("GET", "DELETE") else read(call.body)
    ask = Ask(books, form, ids, key, request_id)
    books.request = {"id": request_id, "idempotency_key": key}
    try:
        paths = form.words("expand")
        return 200, rendered(books, act(ask), paths)
    finally:
        books.request = None


def _once(books: Books, call: Call, act: Act, ids: tuple[str, ...], key: str, headers: dict[str, str]) -> Answer:
    """An idempotent call: the answer of the first one, unless that was refused before it began."""
    if len(key) > 255:
        raise refuse("Idempotency keys have at most 255 characters.", kind="idempotency_error")
    digest = hashlib.sha256(f"{call.path}\0".encode() + b"&".join(sorted(call.body.split(b"&")))).hexdigest()
    kept = books.get("key", key)
    if kept is not None and kept["at"] > books.now() - KEYS_LIVE_S:
        if kept["digest"] != digest:
            raise refuse(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request.",
                kind="idempotency_error",
            )
        told = {**headers, "idempotent-replayed": "true", "original-request": kept["request"], "idempotency-key": key}
        return _done((kept["status"], kept["body"]), {**told, "request-id": kept["request"]})
    try:
        status, body = _carried(books, call, act, ids, key, headers["request-id"])
    except Refused as refused:
        if not refused.begun:
            raise
        status, body = refused.status, refused.body
    record = {"id": key, "digest": digest, "status": status, "body": body, "request": headers["request-id"]}
    books.put("key", {**record, "at": books.now()})
    return _done((status, body), {**headers, "idempotency-key": key, "original-request": headers["request-id"]})


def in_use(key: str) -> Answer:
    """The answer while a call with this key is still carried out."""
    refused = refuse(
        f"There is currently another in-progress request using this Idempotent Key (that probably means you submitted "
        f"twice, and the other request is still going through): {key}. Please try again later.",
        code="idempotency_key_in_use",
        kind="idempotency_error",
        status=409,
    )
    return _done((refused.status, refused.body), {"request-id": fresh("req_", 14)})


def _done(told: tuple[int, Any], headers: dict[str, str], request_id: str = "") -> Answer:
    status, body = told
    if request_id and "error" in body:
        body["error"]["request_log_url"] = f"https://dashboard.stripe.com/acct_test/workbench/logs?object={request_id}"
    more = {"stripe-should-retry": "false"} if status >= 500 else {}
    return Answer(status=status, body=msgspec.json.encode(body), headers={**headers, **more})


def _authenticate(books: Books, call: Call) -> None:
    scheme, _, value = call.headers.get("authorization", "").partition(" ")
    key = value.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(key).decode().partition(":")[0]
        except ValueError:
            key = ""
    if not key:
        raise refuse(
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            status=401,
        )
    if key != books.access.stripe_key:
        masked = key[:8] + "*" * max(0, len(key) - 12) + key[-4:] if len(key) > 12 else "*" * len(key)
        raise refuse(f"Invalid API Key provided: {masked}", status=401)
    if not _VERSION_FORM.match(call.headers.get("stripe-version", VERSION)):
        raise refuse(f"Invalid Stripe API version: {call.headers['stripe-version'][:40]}")
    if (account := call.headers.get("stripe-account")) and account != STRIPE_ACCOUNT:
        raise refuse(
            f"The provided key does not have access to account '{account[:40]}' (or that account does not exist).",
            code="account_invalid",
            status=403,
        )


def _routed(call: Call) -> tuple[Act, tuple[str, ...]]:
    for method, pattern, act in _ROUTES:
        if method == call.method and (found := pattern.match(call.path)):
            return act, found.groups()
    raise refuse(
        f"Unrecognized request URL ({call.method}: {call.path[:200]}). Please see https://stripe.com/docs or we can "
        "help at https://support.stripe.com/.",
        status=404,
    )


def emit(books: Books, kind: str, thing: Json, before: Json | None = None) -> Json:
    """Note an event about ``thing`` as it is now and have it told; ``before``: previous values of what changed."""
    data: Json = {"object": msgspec.json.decode(msgspec.json.encode(shown(thing)))}
    if before is not None:
        data["previous_attributes"] = before
    event = {
        "id": fresh("evt_"),
        "object": "event",
        "api_version": VERSION,
        "created": books.now(),
        "data": data,
        "livemode": books.livemode,
        "pending_webhooks": 0,
        "request": books.request or {"id": None, "idempotency_key": None},
        "type": kind,
    }
    books.put("event", event)
    books.told("stripe", event)
    return event


@route("GET", "/v1/account")
def account(ask: Ask) -> Json:
    """Whose account the key belongs to."""
    ask.form.only()
    return {
        "id": STRIPE_ACCOUNT,
        "object": "account",
        "business_profile": {"name": "Ruxa sandbox"},
        "charges_enabled": True,
        "country": "US",
        "default_currency": "usd",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }


@route("GET", "/v1/accounts/{}")
def account_by_id(ask: Ask) -> Json:
    """The account by its id: only ours exists."""
    if ask.ids[0] != STRIPE_ACCOUNT:
        raise no_such("account", ask.ids[0])
    return account(ask)


@route("GET", "/v1/events")
def events(ask: Ask) -> Json:
    """Events, newest first, by type (``*`` at the end) or types."""
    form = ask.form
    form.only("created", "delivery_success", "ending_before", "limit", "starting_after", "type", "types")
    wanted = form.words("types") or ([only] if (only := form.text("type")) else [])
    delivered = form.flag("delivery_success")

    def fits(event: Json) -> bool:
        named = not wanted or any(
            event["type"] == one or (one.endswith("*") and event["type"].startswith(one[:-1])) for one in wanted
        )
        return named and (delivered is None or delivered == (event["pending_webhooks"] == 0))

    return listed(ask, (event for event in ask.books.every("event") if fits(event)), "/v1/events")


@route("GET", "/v1/events/{}")
def event(ask: Ask) -> Json:
    """One event."""
    ask.form.only()
    return find(ask.books, "event", ask.ids[0])
