"""Stored content of calls as the pages and the API show it; shared, since pages never import each other."""

from __future__ import annotations

import contextlib
from base64 import b64encode
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar.response import Stream

from ruxa.access.audit import log
from ruxa.access.authorize import Principal
from ruxa.console.page import Deps
from ruxa.egress.objects import Objects
from ruxa.kernel import bounds
from ruxa.kernel.errors import Conflict, NotFound, RuxaError, Unavailable
from ruxa.privacy.content import items
from ruxa.privacy.content.items import Content
from ruxa.store.work import Work

PURPOSE = "provide"
Part = Literal["request", "answer"]
# Never something that a browser would run.
FILE = "application/octet-stream"
PARTS: tuple[Part, ...] = ("request", "answer")
State = Literal["stored", "too_large", "none", "lost", "gone"]
_SUFFIXES = {"application/json": "json", "text/event-stream": "txt", "text/plain": "txt"}


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent or got: ``text`` when it is UTF-8, else ``base64``; neither unless ``state`` is stored, nor for
    more than 1 MiB: ``path`` gives every stored side's bytes as they passed."""

    state: Annotated[
        State,
        msgspec.Meta(
            description="stored; too_large: over 10 MiB; none: nothing was answered; lost: the store was away; gone"
        ),
    ]
    media_type: str
    bytes: int
    text: str | None = None
    base64: str | None = None
    path: str | None = None


class Sides(msgspec.Struct, frozen=True):
    """Both sides of a call, byte for byte as they passed."""

    request: Side
    answer: Side


@dataclass(frozen=True, slots=True)
class Shown:
    """A side on a page: its beginning as text (None: not text, or not stored), and whether there is more."""

    part: Part
    state: State
    media_type: str
    size: int
    text: str | None
    cut: bool


def objects_of(deps: Deps) -> Objects:
    """The object store. Raises Unavailable where none is wired."""
    if deps.objects is None:
        raise Unavailable("Stored content can't be reached here.", code="storage_away")
    return deps.objects


async def pieces(work: Work, deps: Deps, found: Content, part: Part) -> AsyncGenerator[bytes, None] | None:
    """A side's bytes piece by piece, None when they are not stored or gone. The caller has written the audit entry."""
    if found.side(part).state != "stored":
        return None
    return await items.pieces(work, deps.vault, objects_of(deps), found, part, purpose=PURPOSE)


async def sides(work: Work, deps: Deps, found: Content, path: str) -> Sides:
    """Both sides, opened, for JSON; path: of the call's content."""
    return Sides(*[await _side(work, deps, found, part, f"{path}/{part}") for part in PARTS])


async def shown(work: Work, deps: Deps, found: Content) -> list[Shown]:
    """Both sides, opened, for a page."""
    return [await _shown(work, deps, found, part) for part in PARTS]


def part_of(word: str) -> Part:
    """The side that a path names. NotFound."""
    for part in PARTS:
        if word == part:
            return part
    raise NotFound("A call has a request and an answer.")


def streamed(pieces: AsyncGenerator[bytes, None], size: int, media_type: str) -> Stream:
    """An answer that is sent as it is read: with its length, so that one that breaks off is seen to be cut."""
    return Stream(pieces, media_type=media_type, headers={"content-length": str(size)})


def filename(shown_id: str, found: Content, part: Part) -> str:
    """What a download is called."""
    return f"{shown_id}-{part}.{_SUFFIXES.get(found.side(part).media_type, 'bin')}"


async def erase_all(deps: Deps, principal: Principal, organisation_id: UUID, request_id: str) -> int:
    """Deletes all stored content of the organisation and the key that sealed it; how many calls.

    Planned is written and committed before, done after: a destroyed key cannot be had back. What is refused or fails
    is written too, so that no plan stays without an end.
    """
    objects = objects_of(deps)

    async def note(work: Work, outcome: log.Outcome) -> None:
        await log.add(
            work,
            deps.vault,
            principal,
            "content:deleted",
            organisation_id=organisation_id,
            object_id=organisation_id,
            request=request_id,
            outcome=outcome,
            details={"of": "organisation"},
        )

    async with deps.pool.work("console") as work:
        await note(work, "planned")
    try:
        async with deps.pool.work("console") as work:
            count = await items.delete_of_organisation(work, deps.vault, objects, organisation_id)
            await note(work, "done")
    except RuxaError as fault:
        async with deps.pool.work("console") as work:
            await note(work, "refused" if isinstance(fault, Conflict) else "failed")
        raise
    return count


async def _beginning(pieces: AsyncGenerator[bytes, None], most: int) -> bytes:
    """What comes first, until it is more than so many bytes, or all."""
    found = bytearray()
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            found += piece
            if len(found) > most:
                break
    return bytes(found)


async def _side(work: Work, deps: Deps, found: Content, part: Part, path: str) -> Side:
    kept = found.side(part)
    opened = await pieces(work, deps, found, part)
    if opened is None:
        state: State = "gone" if kept.state == "stored" else kept.state
        return Side(state=state, media_type=kept.media_type, bytes=kept.size)
    if kept.size > bounds.CONTENT_JSON_BYTES:
        await opened.aclose()
        return Side(state=kept.state, media_type=kept.media_type, bytes=kept.size, path=path)
    body = await _beginning(opened, bounds.CONTENT_JSON_BYTES)
    text = base64 = None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        base64 = b64encode(body).decode()
    return Side(state=kept.state, media_type=kept.media_type, bytes=kept.size, text=text, base64=base64, path=path)


async def _shown(work: Work, deps: Deps, found: Content, part: Part) -> Shown:
    kept = found.side(part)
    opened = await pieces(work, deps, found, part)
    body = None if opened is None else await _beginning(opened, bounds.CONTENT_SHOWN_BYTES)
    state: State = "gone" if body is None and kept.state == "stored" else kept.state
    text = None
    cut = False
    if body is not None:
        cut = len(body) > bounds.CONTENT_SHOWN_BYTES
        # A character that the cut goes through is left out; bytes that are no text are not shown at all.
        start = body[: bounds.CONTENT_SHOWN_BYTES]
        try:
            text = start.decode("utf-8")
        except UnicodeDecodeError as error:
            if cut and error.start >= len(start) - 3:
                text = start[: error.start].decode()
        if text is not None and not cut and kept.media_type == "application/json":
            text = _laid_out(text)
    return Shown(part=part, state=state, media_type=kept.media_type, size=kept.size, text=text, cut=cut)


def _laid_out(text: str) -> str:
    """JSON with a line for each member; anything else as it is."""
    try:
        return msgspec.json.format(text, indent=2)
    except (msgspec.DecodeError, RecursionError):
        return text
