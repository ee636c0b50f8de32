"""Crossing: what it takes to send a call in another dialect than its caller speaks.

The call is read whole, once. For the target that is tried it is made fit to leave: identities become pseudonyms of
that provider, a URL that may not go there becomes what it shows, signatures that a client lost are put back. Then it is
written, and what could not be carried is told to the caller, or refused to one who wants all or nothing.
"""

from __future__ import annotations

import base64
import secrets
from collections import Counter

import msgspec

from ruxa.access.guards import Guard
from ruxa.dialects import COUNTERS, DIALECTS, EMBEDDERS, TRANSLATORS
from ruxa.dialects.call import Call, Media
from ruxa.dialects.dialect import Name, Patched
from ruxa.dialects.losses import Loss, told
from ruxa.dialects.references import path_of
from ruxa.dialects.reply import Asked, Reply
from ruxa.dialects.table import check
from ruxa.dialects.translated import (
    KINDS,
    Conversation,
    Counting,
    Crossing,
    Vectoring,
    fetched,
    refuse_losses,
    replaced,
)
from ruxa.egress.fetch import Fetcher
from ruxa.gateway.exchange import Exchange
from ruxa.gateway.guard import answers as guarded_answers
from ruxa.gateway.guard import calls
from ruxa.gateway.guard.filter import Found
from ruxa.gateway.marks import Marks
from ruxa.gateway.plan import Target
from ruxa.gateway.pseudonyms import Pseudonyms
from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall, Unsupported

# Members of a body that are ours, and are heeded.
HEEDED = frozenset({"models"})
# What the permission for a URL is called, by what the URL shows.
URLS = {"image": "url:image", "document": "url:document", "audio": "url:file", "video": "url:file"}


class Crossings:
    """One per worker."""

    __slots__ = ("_fetcher", "_marks", "_pseudonyms")

    def __init__(self, pseudonyms: Pseudonyms, fetcher: Fetcher, marks: Marks) -> None:
        self._pseudonyms = pseudonyms
        self._fetcher = fetcher
        self._marks = marks

    def read(self, exchange: Exchange) -> None:
        """Sets ``exchange.call``, once. Raises InvalidCall for whatever is wrong with the call, by its path."""
        if exchange.call is not None or KINDS.get(exchange.place.endpoint) == "vectors":
            return
        envelope, place = exchange.envelope, exchange.place
        assert envelope is not None
        call = TRANSLATORS[place.dialect].read_call(place, envelope.body)
        # A field that needs permission may be a member that no neutral form holds; it is not sent, so it is a loss.
        unheld = tuple(
            Loss(claim.param.partition(".")[0], claim.param)
            for claim in envelope.claims
            if claim.param in envelope.members and not claim.name.startswith(("url:", "tool:"))
        )
        named = {loss.name for loss in call.losses}
        call.losses += tuple(loss for loss in unheld if loss.name not in named)
        call.losses = tuple(loss for loss in call.losses if loss.name not in HEEDED)
        guard = _guard(exchange)
        if guard is not None:
            exchange.found = Counter()
            call = calls.guarded(call, guard, exchange.found)
        call.stream = envelope.stream
        exchange.call = call

    def refuse(self, exchange: Exchange, target: Target) -> None:
        """Raises Unsupported for a file that is kept at a provider, where the target may not be asked for one."""
        envelope = exchange.envelope
        assert envelope is not None
        kept = tuple(claim for claim in envelope.claims if claim.name == "file_id")
        if kept:
            check(msgspec.structs.replace(envelope, claims=kept), target.provider.terms)

    def unshown(self, exchange: Exchange, target: Target) -> list[Media]:
        """The media of the call whose URL may not go to the target: ``fetch`` them before ``write``."""
        call = exchange.call
        return [] if call is None else fetched(call, lambda media: _passes(media, target))

    async def fetch(self, exchange: Exchange, media: list[Media]) -> None:
        """Put what the URLs show in their place, and its size into the load. Raises InvalidCall with the reason."""
        call, envelope = exchange.call, exchange.envelope
        assert call is not None
        assert envelope is not None
        if len(media) > bounds.FETCH_URLS_MAX:
            raise InvalidCall(f"At most {bounds.FETCH_URLS_MAX} URLs of a call are fetched.", code="url_refused")
        left = bounds.FETCH_CALL_BYTES_MAX
        shown: dict[int, Media] = {}
        load = envelope.load
        for one in media:
            try:
                found = await self._fetcher.get(one.url, one.kind, min(bounds.FETCH_BYTES_MAX, left))
            except InvalidCall as error:
                error.param = error.param or path_of(envelope.body, one.url, exchange.place.dialect)
                raise
            left -= len(found.data)
            if found.media_type.startswith("text/"):
                text = found.data.decode("utf-8", "replace")
                shown[id(one)] = msgspec.structs.replace(one, url="", media_type=found.media_type, text=text)
                load.text_bytes += len(found.data)
            else:
                data = base64.b64encode(found.data).decode()
                shown[id(one)] = msgspec.structs.replace(one, url="", media_type=found.media_type, data=data)
                load.media_bytes += len(data)
        exchange.call = replaced(call, shown)
        if all(each.url == "" for each in _urls(exchange.call)):
            envelope.claims = tuple(claim for claim in envelope.claims if not claim.name.startswith("url:"))

    def write(self, exchange: Exchange, target: Target, *, strict: bool) -> None:
        """Sets ``crossing``, ``patched``, ``dropped`` and ``head`` for the target.

        strict: whatever can't be carried is refused. Raises InvalidCall, Unsupported.
        """
        envelope = exchange.envelope
        assert envelope is not None
        crossing = exchange.crossing = self._crossing(exchange, target)
        written = crossing.write(target.aim, exchange.output_cap)
        if strict:
            refuse_losses(written.losses, target.model)
        exchange.dropped = told(written.losses)
        exchange.patched = Patched(pieces=[written.body], length=len(written.body), replaced=envelope.identities)
        forwarded = crossing.dialect.forward_headers({}, target.provider.terms)
        exchange.head = target.head(crossing.dialect, crossing.place) + forwarded.lines

    def _crossing(self, exchange: Exchange, target: Target) -> Crossing:
        place, entry = exchange.place, exchange.entry
        assert entry is not None
        kind = KINDS.get(place.endpoint)
        spoken = None if kind is None else target.speaks(kind, place.dialect)
        if kind is None or spoken is None:
            raise Unsupported(f"{target.model} can't be asked by this endpoint.", code="wrong_endpoint", param="model")
        reads, writes, dialect = TRANSLATORS[place.dialect], TRANSLATORS[spoken], DIALECTS[spoken]
        model = target.upstream_model
        if kind == "vectors":
            return self._vectoring(exchange, target, spoken)
        call = self._fit(exchange, target)
        if kind == "count":
            return Counting(COUNTERS[place.dialect], writes, COUNTERS[spoken], dialect, call, model)
        assert exchange.envelope is not None
        asked = Asked(
            call=call,
            model=exchange.envelope.model,
            request_id=exchange.request_id,
            created_s=(exchange.id >> 80) // 1000,
            array=exchange.envelope.array,
            answer_id=f"resp_{secrets.token_hex(16)}" if place.endpoint == "responses" else "",
        )
        marks = self._marks.of(entry.grant.organisation_ref)
        guard = entry.guard
        watching = None if guard is None or exchange.found is None else Watching(guard, exchange.found)
        return Conversation(reads, writes, dialect, call, asked, model, marks, watching)

    def _fit(self, exchange: Exchange, target: Target) -> Call:
        """The call with this provider's pseudonyms."""
        call, entry = exchange.call, exchange.entry
        assert call is not None
        assert entry is not None
        if not call.identity and not call.cache_key:
            return call
        stand_in = self._pseudonyms.of(target.provider.name, entry.grant.organisation_ref)
        return msgspec.structs.replace(
            call,
            identity=stand_in(call.identity) if call.identity else "",
            cache_key=stand_in(call.cache_key) if call.cache_key else "",
        )

    def _vectoring(self, exchange: Exchange, target: Target, spoken: Name) -> Vectoring:
        place, envelope, entry = exchange.place, exchange.envelope, exchange.entry
        assert envelope is not None
        assert entry is not None
        reads = EMBEDDERS.get(place.dialect)
        assert reads is not None, "an endpoint for vectors has a reader of its requests"
        wanted = reads.read_embedding(place, envelope.body)
        guard = _guard(exchange)
        if guard is not None:
            exchange.found = Counter()
            wanted = calls.guarded_inputs(wanted, guard, exchange.found)
        if wanted.identity:
            wanted.identity = self._pseudonyms.of(target.provider.name, entry.grant.organisation_ref)(wanted.identity)
        return Vectoring(reads, EMBEDDERS[spoken], DIALECTS[spoken], wanted, target.upstream_model)


class Watching:
    """A key's guard over one call's answer (``translated.Watching``)."""

    __slots__ = ("_found", "_guard")

    def __init__(self, guard: Guard, found: Found) -> None:
        self._guard = guard
        self._found = found

    def whole(self, reply: Reply) -> Reply:
        """See the protocol."""
        return guarded_answers.guarded(reply, self._guard, self._found)

    def stream(self) -> guarded_answers.Watch:
        """See the protocol."""
        return guarded_answers.Watch(self._guard, self._found)


def relayed(exchange: Exchange, target: Target) -> bool:
    """Whether the call goes to the target as it is: in its own dialect, and nobody has to look into it."""
    place = exchange.place
    return target.relays(place.dialect, place.endpoint) and _guard(exchange) is None


def estimates(exchange: Exchange, target: Target) -> bool:
    """Whether a count of tokens is asked of a provider that has none to give."""
    if exchange.place.endpoint != "count_tokens":
        return False
    return target.speaks("count", exchange.place.dialect) not in COUNTERS


def _guard(exchange: Exchange) -> Guard | None:
    return None if exchange.entry is None else exchange.entry.guard


def _urls(call: Call) -> list[Media]:
    return fetched(call, lambda _: False)


def _passes(media: Media, target: Target) -> bool:
    """Whether the provider may, and can, look at that URL itself."""
    allowed = target.provider.terms.allowed
    name = URLS[media.kind]
    permitted = not allowed.isdisjoint((name, "url:file", "url:*", "*"))
    return permitted and "image_urls" in target.aim.ways
