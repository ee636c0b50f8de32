"""Once: what a call wants of answers that are kept, and the recording of its own; ``repeated`` does the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ruxa.dialects.dialect import Place
from ruxa.gateway.admit import CACHE, ONCE
from ruxa.gateway.door import Copied
from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall

_TYPE = re.compile(rb"content-type: ([^\r]*)\r\n")  # an answer's header block begins with it


class Recording:
    """One answer on its way, kept for who asks again; tells another copy too."""

    __slots__ = ("_inner", "_size", "content_type", "pieces")

    def __init__(self, inner: Copied | None) -> None:
        self._inner = inner
        self._size = 0
        self.content_type = b""
        self.pieces: list[bytes] | None = []

    def start(self, headers: bytes) -> None:
        """See ``Copied``."""
        found = _TYPE.match(headers)
        self.content_type = b"" if found is None else found[1]
        if self._inner is not None:
            self._inner.start(headers)

    def add(self, data: bytes) -> None:
        """See ``Copied``."""
        if self._inner is not None:
            self._inner.add(data)
        self._size += len(data)
        if self._size > bounds.REPEAT_BYTES_MAX:
            self.pieces = None
        elif self.pieces is not None:
            self.pieces.append(data)

    def refused(self, body: bytes) -> None:
        """See ``Copied``."""
        if self._inner is not None:
            self._inner.refused(body)


class Wish:
    """What a call wants of repeats. name: it is to be made once; age_s: how old a cached answer may be, 0: none.

    noted: it is noted as running, so that its end has to be told; recording: its answer on the way.
    """

    __slots__ = ("age_s", "body", "name", "noted", "recording")

    def __init__(
        self, place: Place, headers: Mapping[bytes, bytes], body: bytes, guard: Sequence[str], usual_s: int = 0
    ) -> None:
        """guard: of the key; another one may let another answer through; usual_s: the age where the call says none.

        Raises InvalidCall for a header that makes no sense.
        """
        name = headers.get(ONCE, b"").strip()
        if len(name) > bounds.IDEMPOTENCY_KEY_CHARS_MAX:
            raise InvalidCall(
                f"Idempotency-Key has at most {bounds.IDEMPOTENCY_KEY_CHARS_MAX} characters.",
                code="bad_idempotency_key",
            )
        self.name = name
        said = headers.get(CACHE)
        self.age_s = usual_s if said is None else _age(said)
        # The same call is the same bytes to the same place.
        asked = (place.dialect, place.endpoint, place.model, str(place.stream), str(place.array), ",".join(guard))
        self.body = " ".join(asked).encode() + b"\n" + body
        self.noted = False
        self.recording: Recording | None = None


def _age(said: bytes) -> int:
    word = said.strip().lower()
    if word in (b"", b"false", b"0"):
        return 0
    if word == b"true":
        return bounds.CACHE_S_DEFAULT
    if not word.isdigit() or len(word) > 6 or int(word) > bounds.CACHE_S_MAX:
        raise InvalidCall(f"ruxa-cache is true, false, or seconds up to {bounds.CACHE_S_MAX}.", code="bad_cache")
    return int(word)
