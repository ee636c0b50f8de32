"""Responses as the house keeps them: a call that goes on from one gets it inside, an answer that is to be kept is, and
what is kept is shown and deleted (decision D13).

Kept is what the key's setting says (``store_days``), or what the call says: ``store`` true keeps this one, false never.
A call that goes on costs one look at the store before it is sent; keeping costs the call nothing. What the worker has
not written yet when it is asked for - on another connection, moments later - is waited for a little.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from ruxa.access.grants import Grant
from ruxa.dialects.dialect import Envelope
from ruxa.dialects.openai_responses import kept as shapes
from ruxa.gateway import answer as answers
from ruxa.gateway import repeated
from ruxa.gateway.exchange import Exchange, Gear
from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall, RuxaError

# How long a response that was answered a moment ago may take to be found.
PATIENCE_S = (0.05, 0.1, 0.2, 0.4, 0.8)
# Of a data policy: then nothing is kept, whatever the key or the call says.
NO_RETENTION = "zero-retention"


class Responses(Protocol):
    """What is kept; ``privacy.responses.kept.Responses`` is one."""

    async def add(self, call_id: UUID, grant: Grant, response_id: str, days: int, state: bytes) -> None:
        """See the class."""
        ...

    async def find(self, grant: Grant, response_id: str) -> bytes | None:
        """See the class."""
        ...

    async def delete(self, grant: Grant, response_id: str) -> bool:
        """See the class."""
        ...


class Copied(Protocol):
    """What a reply tells of its bytes."""

    def start(self, headers: bytes) -> None:
        """The answer begins."""
        ...

    def add(self, data: bytes) -> None:
        """Some of its bytes."""
        ...

    def refused(self, body: bytes) -> None:
        """What the provider said instead."""
        ...


class Taking:
    """One answer on its way, kept when it is whole; tells another copy too. done: told once, with its pieces."""

    __slots__ = ("_done", "_inner", "_size", "_streamed")

    def __init__(self, inner: Copied | None, done: Callable[[list[bytes], bool], None], *, streamed: bool) -> None:
        self._inner = inner
        self._done: Callable[[list[bytes], bool], None] | None = done
        self._streamed = streamed
        self._size = 0

    def start(self, headers: bytes) -> None:
        """See ``Copied``."""
        if self._inner is not None:
            self._inner.start(headers)

    def add(self, data: bytes) -> None:
        """See ``Copied``."""
        if self._inner is not None:
            self._inner.add(data)
        done = self._done
        if done is None:
            return
        self._size += len(data)
        if self._size > bounds.CONTENT_BYTES_MAX:
            self._done = None
            return
        if not self._streamed:
            self._done = None
            done([data], False)
        elif shapes.ends(data):  # what went before is not needed: the last event repeats it all
            self._done = None
            done([data], True)

    def refused(self, body: bytes) -> None:
        """See ``Copied``."""
        if self._inner is not None:
            self._inner.refused(body)


def previous(envelope: Envelope) -> str:
    """The response that a call goes on from, '' when it begins anew. Raises InvalidCall."""
    return shapes.wish_of(envelope.members).previous


def days_of(grant: Grant, store: bool | None) -> int:
    """For how many days the answer is to be kept, 0: not at all."""
    if store is False:
        return 0
    return grant.store_days or (bounds.CONTENT_DAYS if store or grant.habits.keep_responses else 0)


async def expand(exchange: Exchange, responses: Responses | None, previous: str) -> bytes:
    """The call's body with what it goes on from inside. Raises InvalidCall when that is not kept."""
    entry = exchange.entry
    assert entry is not None
    grant = entry.grant
    state = None if responses is None else await _found(responses, grant, previous)
    if state is None:
        raise shapes.unknown(previous, grant.store_days)
    return shapes.continued(exchange.request.body, state)


async def _found(responses: Responses, grant: Grant, response_id: str) -> bytes | None:
    state = await responses.find(grant, response_id)
    for pause_s in PATIENCE_S if response_id.startswith("resp_") else ():
        if state is not None:
            break
        await asyncio.sleep(pause_s)
        state = await responses.find(grant, response_id)
    return state


def watch(gear: Gear, exchange: Exchange, responses: Responses) -> None:
    """Before the call is sent: its answer will be kept, if it is to be."""
    entry, envelope = exchange.entry, exchange.envelope
    assert entry is not None
    assert envelope is not None
    wish = shapes.wish_of(envelope.members)
    days = days_of(entry.grant, wish.store)
    if not days or NO_RETENTION in repeated.conditions(exchange):
        return
    body = envelope.body

    def done(pieces: list[bytes], streamed: bool) -> None:
        gear.spawn(_keep(gear, exchange, responses, days, body, pieces, streamed=streamed))

    exchange.reply.copy = Taking(exchange.reply.copy, done, streamed=envelope.stream)


async def _keep(
    gear: Gear,
    exchange: Exchange,
    responses: Responses,
    days: int,
    body: bytes,
    pieces: list[bytes],
    *,
    streamed: bool,
) -> None:
    entry = exchange.entry
    assert entry is not None
    final = shapes.final_of(pieces, streamed=streamed)
    found = None if final is None else shapes.state_of(body, final)
    if found is None:
        return
    response_id, state = found
    try:
        if len(state) > bounds.CONTENT_BYTES_MAX:
            raise InvalidCall("The conversation is too large to be kept.", code="too_large")
        await responses.add(UUID(int=exchange.id), entry.grant, response_id, days, state)
    except RuxaError as error:
        gear.metrics.add("responses_dropped", 1, f'reason="{error.code}"')
        gear.sink.emit("content.dropped", "warning", reason=error.code, count=1)
    else:
        gear.metrics.add("responses_kept")


async def serve(exchange: Exchange, responses: Responses | None) -> None:
    """One request for what is kept. Raises what the dialect then says."""
    entry, place, request = exchange.entry, exchange.place, exchange.request
    assert entry is not None
    if place.query.get("stream", "false") not in ("", "false"):
        raise InvalidCall(
            "A kept response is not streamed again: ask without 'stream'.", code="invalid_value", param="stream"
        )
    if place.endpoint == "response" and request.method == b"DELETE":
        if responses is None or not await responses.delete(entry.grant, place.item):
            raise shapes.missing(place.item)
        rendered = shapes.deleted(place.item, exchange.request_id)
    else:
        state = None if responses is None else await _found(responses, entry.grant, place.item)
        if state is None:
            raise shapes.missing(place.item)
        if place.endpoint == "response_cancel":
            raise shapes.not_cancelled()
        if place.endpoint == "response":
            rendered = shapes.shown(state, exchange.request_id)
        else:
            rendered = shapes.items_page(state, place.query, exchange.request_id)
    exchange.reply.send(rendered.status, rendered.headers + answers.limits(exchange), rendered.body)
