"""The control API below ``/_sandbox/``: what a processor's staff, its customers' banks and an attacker would do.

Only for callers on this machine, and only for programs: a browser's page cannot reach it, because a POST must say
``content-type: application/json``, which a foreign page may not send here, and call it by a name of this machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeVar, cast

import msgspec

from ruxa.egress.processors.sandbox import (
    forge,
    paypal_api,
    paypal_captures,
    paypal_disputes,
    paypal_orders,
    paypal_trust,
    stripe_checkout,
    stripe_disputes,
    stripe_money,
    stripe_refunds,
)
from ruxa.egress.processors.sandbox.books import Books, Json, shown
from ruxa.egress.processors.sandbox.faults import Faults, Rule
from ruxa.egress.processors.sandbox.stripe_errors import Refused
from ruxa.egress.processors.sandbox.webhooks import Sender
from ruxa.egress.processors.sandbox.wire import Answer, Call

T = TypeVar("T")


class _Wrong(Exception):
    """What is wrong with an order."""


class _Send(msgspec.Struct, forbid_unknown_fields=True):
    vendor: Literal["stripe", "paypal"]
    event: str = ""
    kind: str = ""
    times: int = 1
    forge: str = ""


class _About(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    amount: int | None = None
    reason: str = "fraudulent"


class _End(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    end: str


class _Release(msgspec.Struct, forbid_unknown_fields=True):
    backwards: bool = True


class _Clock(msgspec.Struct, forbid_unknown_fields=True):
    shift_s: int


class _Payout(msgspec.Struct, forbid_unknown_fields=True):
    vendor: Literal["stripe", "paypal"] = "stripe"
    amount: int | None = None


class _Shorten(msgspec.Struct, forbid_unknown_fields=True):
    shorten: int


class _Method(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    does: str


class Control:
    """The control API of one server."""

    def __init__(self, books: Books, faults: Faults, sender: Sender) -> None:
        self.books = books
        self.faults = faults
        self.sender = sender
        self._acts: Final[dict[tuple[str, str], Callable[[bytes], Any]]] = {
            ("GET", "faults"): lambda _: self.faults.rules,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): lambda _: self.faults.rules.clear(),
            ("GET", "deliveries"): lambda _: [shown(one) for one in self.books.every("delivery")],
            ("POST", "webhooks"): self._send,
            ("POST", "hold"): self._hold,
            ("POST", "release"): lambda body: {"sent": self.sender.release(backwards=_read(body, _Release).backwards)},
            ("POST", "idle"): lambda _: self._idle(),
            ("POST", "clock"): self._clock,
            ("POST", "shorten"): self._shorten,
            ("POST", "dispute"): self._dispute,
            ("POST", "dispute/close"): self._close_dispute,
            ("POST", "refund"): self._refund,
            ("POST", "payout"): self._payout,
            ("POST", "settle"): self._settle,
            ("POST", "method"): self._method,
        }

    async def answer(self, call: Call) -> Answer:
        """The answer to a call below ``/_sandbox/``."""
        host = call.headers.get("host", "localhost").rpartition(":")
        here = (host[0] or host[2]) in ("127.0.0.1", "localhost", "[::1]")
        if not here or not ipaddress.ip_address(call.peer).is_loopback:
            return _told(403, {"error": "only from this machine"})
        name = call.path.removeprefix("/_sandbox/")
        if call.method == "GET" and name == "paypal/root.pem":
            root = paypal_trust.trust(self.books).root
            return Answer(content_type="application/x-pem-file", body=root.encode())
        if call.method == "POST" and call.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _told(415, {"error": "content-type: application/json"})
        act = self._acts.get((call.method, name))
        if act is None:
            return _told(404, {"error": "nothing here", "there_is": sorted(f"{a} {b}" for a, b in self._acts)})
        try:
            done = act(call.body)
            if isinstance(done, Awaitable):
                done = await cast("Awaitable[Any]", done)
        except (_Wrong, msgspec.MsgspecError) as error:
            return _told(400, {"error": str(error)})
        except (Refused, paypal_api.Refused) as error:
            return _told(400, {"error": error.body})
        finally:
            self.books.flush()
        return _told(200, {} if done is None else done)

    def _add_fault(self, body: bytes) -> Any:
        rule = _read(body, Rule)
        if wrong := self.faults.add(rule):
            raise _Wrong(wrong)
        return rule

    def _send(self, body: bytes) -> Any:
        """An event again (by id, or the newest of a kind), as often as asked, genuine or forged."""
        order = _read(body, _Send)
        forgeries = forge.STRIPE if order.vendor == "stripe" else forge.PAYPAL
        if order.forge and order.forge not in forgeries:
            raise _Wrong(f"forge: {', '.join(forgeries)}")
        kind, member = ("event", "type") if order.vendor == "stripe" else ("paypal.event", "event_type")
        found = (
            self.books.where(kind, id=order.event) if order.event else self.books.where(kind, **{member: order.kind})
        )
        targets = self.sender.targets(order.vendor)
        if not found or not targets:
            raise _Wrong("there is no such event" if not found else "nobody is told")
        for _ in range(order.times):
            for target in targets:
                self.sender.send(order.vendor, found[0], target["id"], forgery=order.forge)
        return {"event": found[0]["id"], "sent": order.times * len(targets)}

    def _hold(self, _: bytes) -> None:
        self.sender.holding = True

    async def _idle(self) -> None:
        await self.sender.idle()

    def _clock(self, body: bytes) -> Any:
        self.books.clock.offset_s += _read(body, _Clock).shift_s
        return {"now": self.books.now()}

    def _shorten(self, body: bytes) -> None:
        self.sender.shorten = max(1, _read(body, _Shorten).shorten)

    def _dispute(self, body: bytes) -> Any:
        about = _read(body, _About)
        if captured := self.books.get("paypal.capture", about.id):
            return shown(paypal_disputes.open_dispute(self.books, captured, about.amount, about.reason))
        return shown(
            stripe_disputes.open_dispute(self.books, self._charge(about.id), amount=about.amount, reason=about.reason)
        )

    def _close_dispute(self, body: bytes) -> Any:
        order = _read(body, _End)
        if order.end not in ("won", "lost"):
            raise _Wrong("end: won, lost")
        end: Literal["won", "lost"] = "won" if order.end == "won" else "lost"
        if dispute := self.books.get("paypal.dispute", order.id):
            return shown(paypal_disputes.close_dispute(self.books, dispute, end))
        if dispute := self.books.get("dispute", order.id):
            return shown(stripe_disputes.close_dispute(self.books, dispute, end))
        raise _Wrong("there is no such dispute")

    def _refund(self, body: bytes) -> Any:
        about = _read(body, _About)
        if captured := self.books.get("paypal.capture", about.id):
            return shown(paypal_captures.make_refund(self.books, captured, about.amount, {}))
        return shown(stripe_refunds.make_refund(self.books, self._charge(about.id), about.amount))

    def _payout(self, body: bytes) -> Any:
        order = _read(body, _Payout)
        if order.vendor == "stripe":
            return shown(stripe_money.make_payout(self.books, order.amount))
        return paypal_captures.pay_out(self.books, order.amount)

    def _settle(self, body: bytes) -> Any:
        """What is slow happens now: a session's bank debit, or a pending capture; or a refund comes back."""
        order = _read(body, _End)
        if order.end not in ("succeeded", "failed"):
            raise _Wrong("end: succeeded, failed")
        if captured := self.books.get("paypal.capture", order.id):
            if captured["status"] != "PENDING":
                raise _Wrong("this capture is not pending")
            (paypal_orders.complete if order.end == "succeeded" else paypal_orders.deny)(self.books, captured)
            return shown(captured)
        if refund := self.books.get("refund", order.id):
            if order.end != "failed":
                raise _Wrong("a refund can only fail")
            return shown(stripe_refunds.fail_refund(self.books, refund))
        session = self.books.get("session", order.id)
        if session is None or session["payment_intent"] is None:
            raise _Wrong("there is no such session, capture or refund")
        stripe_checkout.settle_late(self.books, session, "succeeded" if order.end == "succeeded" else "failed")
        return shown(session)

    def _method(self, body: bytes) -> Any:
        """From now on a saved card does something else."""
        order = _read(body, _Method)
        method = self.books.get("payment_method", order.id)
        if method is None:
            raise _Wrong("there is no such payment method")
        self.books.put("payment_method", method | {"_does": order.does, "_set_up": False})
        return shown(method)

    def _charge(self, id_: str) -> Json:
        """The charge, by its own id or its payment intent's."""
        intent = self.books.get("payment_intent", id_)
        charge = self.books.get("charge", intent["latest_charge"] if intent else id_)
        if charge is None:
            raise _Wrong("there is no such charge, payment intent or capture")
        return charge


def _read(body: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(body or b"{}", type=kind)


def _told(status: int, body: object) -> Answer:
    return Answer(status=status, body=msgspec.json.encode(body))
