"""Responses that the house keeps: what is kept of one, what a call that goes on from it becomes, how it is shown again.

Nothing is kept at a provider: ``previous_response_id`` is expanded here, so it works with every model (D13).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ruxa.dialects.body import cut, given, kind_word, spans, take
from ruxa.dialects.dialect import Endpoint, Rendered
from ruxa.dialects.headers import field
from ruxa.dialects.openai import JSON_LINE, refuse_value, style
from ruxa.dialects.sse import data_of, events
from ruxa.dialects.table import splice
from ruxa.dialects.upstream import clean
from ruxa.kernel.errors import InvalidCall, NotFound

KEPT: frozenset[Endpoint] = frozenset({"response", "response_items", "response_cancel"})
PAGE = 20
PAGE_MAX = 100
ID_CHARS_MAX = 256

_encode = msgspec.json.Encoder().encode
_decode_text = msgspec.json.Decoder(str).decode
_decode_flag = msgspec.json.Decoder(bool | None).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NULL = msgspec.Raw(b"null")
_ENDS = frozenset({"response.completed", "response.incomplete"})
# What the answer of a provider does not repeat, because it was never told.
_OURS = ("metadata", "previous_response_id", "user", "safety_identifier", "prompt_cache_key")
_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}
_STATED = frozenset({"message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"})


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a call says of keeping. store: its own word, None when it has none; previous: the response to go on from."""

    store: bool | None
    previous: str


class State(msgspec.Struct, frozen=True):
    """What is kept of a response. given: settings of the request that a provider is never told."""

    input: list[msgspec.Raw]
    response: msgspec.Raw
    given: dict[str, msgspec.Raw]


class _Item(msgspec.Struct, gc=False):
    type: str | None = None
    id: str | None = None
    encrypted_content: str | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    response: msgspec.Raw = _NULL


class _Response(msgspec.Struct, gc=False):
    id: str = ""
    status: str = ""
    output: list[msgspec.Raw] = []


_decode_state = msgspec.json.Decoder(State).decode
_decode_item = msgspec.json.Decoder(_Item).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_response = msgspec.json.Decoder(_Response).decode


def wish_of(members: Mapping[str, msgspec.Raw]) -> Wish:
    """What the members of a request say. Raises InvalidCall."""
    store = take("store", _decode_flag, members.get("store", _NULL), style)
    raw = members.get("previous_response_id", _NULL)
    previous = take("previous_response_id", _decode_text, raw, style) if given(raw) else ""
    if len(previous) > ID_CHARS_MAX:
        refuse_value("previous_response_id", "'previous_response_id' is no id of a response.")
    return Wish(store=store, previous=previous)


def unknown(response_id: str, days: int) -> InvalidCall:
    """The response to go on from is not kept. days: the key's setting."""
    keeps = f"keeps responses for {days} days" if days else "keeps none of itself"
    return InvalidCall(
        f"Previous response with id '{clean(response_id)}' not found: it is unknown to this key, was not kept, or is"
        f" too old. This key {keeps} (its setting store_days); a call with 'store': true is kept in any case.",
        code="previous_response_not_found",
        param="previous_response_id",
    )


def missing(response_id: str) -> NotFound:
    """There is no such response to show."""
    return NotFound(f"Response with id '{clean(response_id)}' not found.", code="response_not_found")


def continued(body: bytes, state: bytes) -> bytes:
    """The request with everything before it in its ``input``: what was asked and answered, then what is asked now."""
    members = cut(body)
    where = spans(body, members)
    kept = _decode_state(state)
    output = _decode_response(kept.response).output
    before = [*kept.input, *(item for item in output if _goes_on(item))]
    pieces = [*map(bytes, before), *map(bytes, asked(members))]
    edits: dict[str, bytes | None] = {"input": b"[" + b",".join(pieces) + b"]"}
    return b"".join(splice(body, members, where, edits, []).pieces)


def _goes_on(raw: msgspec.Raw) -> bool:
    """Whether an item of an answer can be sent back: thinking only with its proof, for it is kept nowhere else."""
    item = _decode_item(raw)
    return item.type != "reasoning" or bool(item.encrypted_content)


def asked(members: Mapping[str, msgspec.Raw]) -> list[msgspec.Raw]:
    """The items of a request's ``input``; a text is a user's message."""
    raw = members.get("input", _NULL)
    if kind_word(raw) == "string":
        text = take("input", _decode_text, raw, style)
        part = {"type": "input_text", "text": text}
        return [msgspec.Raw(_encode({"type": "message", "role": "user", "content": [part]}))]
    return take("input", _decode_items, raw, style) if given(raw) else []


def state_of(body: bytes, response: bytes) -> tuple[str, bytes] | None:
    """The id of an answer and what is to be kept of it; body: the request as it was expanded. None: not to be kept."""
    try:
        told = _decode_response(response)
        members = _decode_members(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not told.id or told.status not in ("completed", "incomplete"):
        return None
    ours = {name: members[name] for name in _OURS if name in members}
    return told.id, _encode(State(asked(members), msgspec.Raw(response), ours))


def ends(data: bytes) -> bool:
    """Whether these events of a stream hold the one that repeats the whole answer."""
    if b"response.completed" not in data and b"response.incomplete" not in data:
        return False
    return final_of([data], streamed=True) is not None


def final_of(pieces: Sequence[bytes], *, streamed: bool) -> bytes | None:
    """The response object at the end of an answer as it went out; None: it has not come."""
    whole = b"".join(pieces)
    if not streamed:
        return whole
    for event in events(whole):
        if not event.startswith((b"event: response.completed", b"event: response.incomplete", b"data: ")):
            continue
        try:
            told = _decode_event(data_of(event))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if told.type in _ENDS and given(told.response):
            return bytes(told.response)
    return None


def shown(state: bytes, request_id: str) -> Rendered:
    """``GET /v1/responses/{id}``."""
    kept = _decode_state(state)
    members = {**_decode_members(kept.response), **kept.given, "store": msgspec.Raw(b"true")}
    return _rendered(members, request_id)


def items_page(state: bytes, query: Mapping[str, str], request_id: str) -> Rendered:
    """``GET /v1/responses/{id}/input_items``: newest first unless asked otherwise. Raises InvalidCall."""
    kept = _decode_state(state)
    limit = query.get("limit", str(PAGE))
    if not (limit.isdecimal() and limit.isascii() and len(limit) < 4 and 1 <= int(limit) <= PAGE_MAX):
        refuse_value("limit", f"Invalid value for 'limit': expected an integer from 1 to {PAGE_MAX}.")
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        refuse_value("order", "Invalid value for 'order': expected 'asc' or 'desc'.")
    response_id = _decode_response(kept.response).id.rpartition("_")[2][:32]
    found = [_numbered(raw, f"{response_id}{number:04x}") for number, raw in enumerate(kept.input)]
    if order == "desc":
        found.reverse()
    ids = [_decode_text(item["id"]) for item in found]
    after = query.get("after")
    if after is not None:
        if after not in ids:
            refuse_value("after", "'after' is no item of this response.")
        start = ids.index(after) + 1
        found, ids = found[start:], ids[start:]
    page = ids[: int(limit)]
    body: dict[str, object] = {"object": "list", "data": found[: int(limit)], "has_more": len(found) > len(page)}
    return _rendered({**body, "first_id": page[0] if page else "", "last_id": page[-1] if page else ""}, request_id)


def _numbered(raw: msgspec.Raw, number: str) -> dict[str, msgspec.Raw]:
    """An item as lists show it: with an id, a type, a status where it has one, and its text as a list."""
    item = _decode_members(raw)
    told = _decode_item(raw)
    kind = told.type or "message"
    made: dict[str, msgspec.Raw] = {}
    if not told.id:
        made["id"] = msgspec.Raw(_encode(f"{_PREFIXES.get(kind, 'item')}_{number}"))
    made["type"] = msgspec.Raw(_encode(kind))
    if kind in _STATED and "status" not in item:
        made["status"] = msgspec.Raw(b'"completed"')
    content = item.get("content")
    if kind == "message" and content is not None and kind_word(content) == "string":
        form = "output_text" if item.get("role") == msgspec.Raw(b'"assistant"') else "input_text"
        part: dict[str, object] = {"type": form, "text": content}
        if form == "output_text":
            part["annotations"] = []
        made["content"] = msgspec.Raw(_encode([part]))
    return {**item, **made}


def deleted(response_id: str, request_id: str) -> Rendered:
    """``DELETE /v1/responses/{id}``."""
    return _rendered({"id": response_id, "object": "response", "deleted": True}, request_id)


def not_cancelled() -> InvalidCall:
    """``POST /v1/responses/{id}/cancel``: a response is answered while its caller waits."""
    return InvalidCall("Only background responses can be cancelled, and none is made here.", code="not_cancellable")


def _rendered(body: object, request_id: str) -> Rendered:
    return Rendered(status=200, headers=JSON_LINE + field("x-request-id", request_id), body=_encode(body))
