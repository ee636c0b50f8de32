"""What may be kept of a webhook or an event: ids and words of a known form, nothing that could be a card's number."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from ruxa.egress.processor import Hint, WebhookRefused
from ruxa.kernel import cards

BODY_BYTES_MAX: Final = 256 * 1024
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{2,190}\Z", re.ASCII)
_KIND: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{2,98}\Z", re.ASCII)

_T = TypeVar("_T")


def body(raw: bytes, kind: type[_T]) -> _T:
    """The fields of a verified body that we look at. Raises WebhookRefused ``webhook_malformed``."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise WebhookRefused("webhook_malformed", "body") from None


def fits(event_id: str, ext_id: str, kind: str) -> bool:
    """Whether these may be kept as they are."""
    return (
        _ID.match(event_id) is not None
        and _ID.match(ext_id) is not None
        and _KIND.match(kind) is not None
        and not any(map(cards.found, (event_id, ext_id, kind)))
    )


def made(event_id: str, kind: str, ext_id: str, order_id: UUID | None, at: datetime) -> Hint:
    """A hint of them. Raises WebhookRefused ``webhook_malformed`` for what may not be kept."""
    if not fits(event_id, ext_id, kind):
        raise WebhookRefused("webhook_malformed", "ids")
    return Hint(event_id=event_id, kind=kind, ext_id=ext_id, order_id=order_id, at=at)
