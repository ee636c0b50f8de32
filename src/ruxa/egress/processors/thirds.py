"""Third parties' processors: found by the entry point ``ruxa.processors``, made, and held to the contract.

A package names a callable under its processor's name; ``[payments.NAME]`` switches it on. What it makes is looked at
before anybody pays by it: what it says of itself, that it has every call of the contract, and who it says it is, since
that stands in the public list of recipients. It reaches its API by the pool that it is given, as our own do.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, Final, cast, get_args
from urllib.parse import urlsplit

import msgspec

from ruxa.egress.http import Pool
from ruxa.egress.places import LOOPBACK
from ruxa.egress.processor import Capability, Processor
from ruxa.egress.recipient import Recipient
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import InvalidCall
from ruxa.kernel.sealed import Sealed

GROUP: Final = "ruxa.processors"
# What a processor learns of a payment: its amount, and a random reference that stands for the customer and the order.
TOLD: Final = ("user.payment", "user.unique_id.pseudonymous")
WHY: Final = ("billing",)
_WORD: Final = re.compile(r"[a-z][a-z0-9_]{1,31}\Z", re.ASCII)
_CALLS: Final = tuple(name for name, one in vars(Processor).items() if inspect.iscoroutinefunction(one))


def recipient(name: str, who: str, where: str, policy_url: str) -> Recipient:
    """A processor that the operator has a contract with, for the list of recipients."""
    return Recipient(
        name=name,
        role="processor",
        who=who,
        what=TOLD,
        why=WHY,
        where=where,
        safeguard="the operator's own contract",
        source=policy_url,
    )


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """What a package makes its processor with: the settings of ``[payments.NAME]``, and the way out.

    pool: of ``egress.http``: the only way to a network; key, webhook_secret: what the settings' references name.
    """

    name: str
    pool: Pool
    clock: Clock
    key: Sealed[str] | None
    webhook_secret: Sealed[str] | None
    base_url: str | None
    pages: tuple[str, ...]
    account: str
    methods: tuple[str, ...]
    options: Mapping[str, str]
    where: str

    def recipient(self, who: str, policy_url: str) -> Recipient:
        """Who the processor is, for the list of recipients: ``who`` by its legal name, its policy in public."""
        return recipient(self.name, who, self.where, policy_url)


Maker = Callable[[Offered], Processor]


def find(name: str) -> Maker:
    """What an installed package has under that name. Raises InvalidCall ``bad_setting``: none, or several."""
    found = list(metadata.entry_points(group=GROUP, name=name))
    if not found or _WORD.match(name) is None:
        raise InvalidCall(
            f"payments.{name}: there is no such processor; known are stripe, paypal, bank and what packages bring "
            f"(entry point {GROUP}).",
            code="bad_setting",
        )
    if len({one.value for one in found}) > 1:
        raise InvalidCall(f"payments.{name}: several packages bring it; keep one installed.", code="bad_setting")
    try:
        maker: Any = found[0].load()
    except (ImportError, AttributeError) as error:
        raise InvalidCall(
            f"payments.{name}: {found[0].value} cannot be loaded ({type(error).__name__}).", code="bad_setting"
        ) from None
    if not callable(maker):
        raise InvalidCall(f"payments.{name}: {found[0].value} is nothing to call.", code="bad_setting")
    return cast(Maker, maker)


def make(maker: Maker, offered: Offered) -> Processor:
    """The processor, held to the contract. Raises InvalidCall ``bad_setting`` with what is wrong."""
    made = maker(offered)
    if faults := wrong(made, offered.name):
        raise InvalidCall(f"payments.{offered.name}: the package's processor {faults[0]}.", code="bad_setting")
    return made


def wrong(made: object, name: str) -> list[str]:
    """What does not keep the contract of ``Processor``, in words; nothing when all does."""
    faults = [f"has no call {call}" for call in _CALLS if not inspect.iscoroutinefunction(getattr(made, call, None))]
    told: dict[str, Any] = {word: getattr(made, word, None) for word in Processor.__annotations__}
    methods, origins, recipient = told["methods"], told["origins"], told["recipient"]
    if told["name"] != name:
        faults.append("calls itself something else")
    if not _all(methods, _is_word) or not methods:
        faults.append("has no methods, as a tuple of words")
    if not isinstance(told["capabilities"], frozenset) or not told["capabilities"] <= set(get_args(Capability)):
        faults.append("has capabilities that are none")
    if not isinstance(told["livemode"], bool) or not isinstance(told["account"], str):
        faults.append("does not say its mode and account")
    if not _all(origins, _is_origin):
        faults.append("has origins that are not https://HOST")
    if not isinstance(recipient, Recipient) or recipient.name != name or recipient.role not in ("processor", "own"):
        faults.append("does not say who receives what")
    if not isinstance(told["policy_url"], str) or not told["policy_url"].startswith("https://"):
        faults.append("links no policy")
    return faults


def _all(what: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(what, tuple) and all(map(fits, cast("tuple[object, ...]", what)))


def _is_word(text: object) -> bool:
    return isinstance(text, str) and _WORD.match(text) is not None


def _is_origin(text: object) -> bool:
    if not isinstance(text, str):
        return False
    parts = urlsplit(text)
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    return bool(parts.netloc) and (parts.scheme == "https" or local) and text == f"{parts.scheme}://{parts.netloc}"
