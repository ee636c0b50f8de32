"""Books: every object of the sandbox processor in memory, and in a file of lines so that a restart forgets nothing.

An object is a dict as the processor's API shows it; members that begin with ``_`` are ours and never shown. A change is
``put`` and then, once for all changes of a request, ``flush``: the file is appended before anybody is answered, and
rewritten without its history when it is opened.
"""

from __future__ import annotations

import os
import secrets
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from ruxa.egress.processors.sandbox.access import Access
from ruxa.kernel.clock import Clock

Json = dict[str, Any]

EVENTS_MAX: Final = 20_000
_LETTERS: Final = string.ascii_letters + string.digits
_CAPITALS: Final = string.ascii_uppercase + string.digits


class _Line(msgspec.Struct):
    kind: str
    thing: Json


class Books:
    """What both processors know. ``told``: called with ("stripe" | "paypal", event) for each event."""

    def __init__(self, access: Access, clock: Clock, file: Path | None = None) -> None:
        self.access = access
        self.clock = clock
        self.told: Callable[[str, Json], None] = lambda _vendor, _event: None
        self._things: dict[str, dict[str, Json]] = {}
        self._kinds: dict[str, str] = {}
        self._dirty: dict[str, None] = {}
        self._file = file
        self._order = 0
        # Of the API call that is carried out now, for its events.
        self.request: Json | None = None
        if file is not None:
            self._load(file)

    @property
    def livemode(self) -> bool:
        """What Stripe's objects say of themselves, by the key they are asked for with."""
        return self.access.stripe_key.startswith("sk_live_")

    def now(self) -> int:
        """Seconds since 1970 on the processor's clock."""
        return self.clock.unix_ms() // 1000

    def put(self, kind: str, thing: Json) -> Json:
        """Remember an object, new or changed, by its ``id``."""
        id_: str = thing["id"]
        if "_n" not in thing:
            self._order += 1
            thing["_n"] = self._order
        self._things.setdefault(kind, {})[id_] = thing
        self._kinds[id_] = kind
        self._dirty[id_] = None
        return thing

    def get(self, kind: str, id_: str) -> Json | None:
        """The object of that kind, None when there is none."""
        return self._things.get(kind, {}).get(id_)

    def any(self, id_: str) -> Json | None:
        """The object of whatever kind."""
        kind = self._kinds.get(id_)
        return self.get(kind, id_) if kind else None

    def drop(self, kind: str, id_: str) -> None:
        """Forget an object."""
        if self._things.get(kind, {}).pop(id_, None) is not None:
            self._kinds.pop(id_, None)
            self._dirty[id_] = None

    def every(self, kind: str) -> Iterator[Json]:
        """All of a kind, newest first."""
        return reversed(list(self._things.get(kind, {}).values()))

    def where(self, kind: str, **members: object) -> list[Json]:
        """Those of a kind whose members are as given, newest first."""
        return [one for one in self.every(kind) if all(one.get(name) == value for name, value in members.items())]

    def flush(self) -> None:
        """Write down what changed since the last time."""
        if self._dirty and self._file is not None:
            with open(self._file, "ab", opener=_private) as file:
                for id_ in self._dirty:
                    kind = self._kinds.get(id_)
                    line = _Line(kind, self._things[kind][id_]) if kind else _Line("", {"id": id_})
                    file.write(msgspec.json.encode(line) + b"\n")
        self._dirty.clear()

    def move(self) -> None:
        """When the address is another one than in the last run, every link in the books leads to the new one."""
        kept = self.get("address", "url")
        if kept is not None and kept["url"] != self.access.url:
            before, now = kept["url"].encode(), self.access.url.encode()
            for kind, things in self._things.items():
                for thing in list(things.values()):
                    written = msgspec.json.encode(thing)
                    if before in written:
                        self.put(kind, msgspec.json.decode(written.replace(before, now)))
        self.put("address", {"id": "url", "url": self.access.url})

    def _load(self, file: Path) -> None:
        """Read the lines (a torn last one is dropped) and write them anew, newest state only."""
        try:
            lines = file.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for line in lines:
            try:
                read = msgspec.json.decode(line, type=_Line)
            except msgspec.MsgspecError:
                continue
            if not read.kind:
                self.drop(self._kinds.get(str(read.thing["id"]), ""), str(read.thing["id"]))
            else:
                self.put(read.kind, read.thing)
                self._order = max(self._order, int(read.thing["_n"]))
        for kind, things in self._things.items():
            ages = kind.endswith(("event", "key")) or kind == "delivery"
            kept = sorted(things.values(), key=_number)[-EVENTS_MAX:] if ages else things.values()
            self._things[kind] = {one["id"]: one for one in sorted(kept, key=_number)}
        kept_ids = {id_ for things in self._things.values() for id_ in things}
        self._kinds = {id_: kind for id_, kind in self._kinds.items() if id_ in kept_ids}
        self._dirty = dict.fromkeys(kept_ids)
        anew = file.with_name(file.name + ".new")
        anew.unlink(missing_ok=True)
        self._file = anew
        self.flush()
        if anew.exists():
            anew.replace(file)
        self._file = file


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _number(thing: Json) -> int:
    return int(thing["_n"])


def shown(thing: Json) -> Json:
    """The object without what is ours."""
    return {name: value for name, value in thing.items() if not name.startswith("_")}


def fresh(prefix: str, length: int = 24) -> str:
    """A new id of Stripe's form."""
    return prefix + "".join(secrets.choice(_LETTERS) for _ in range(length))


def fresh_capitals(length: int = 17) -> str:
    """A new id of PayPal's form."""
    return "".join(secrets.choice(_CAPITALS) for _ in range(length))
