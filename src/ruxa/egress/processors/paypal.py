"""PayPal: orders approved on its page and captured by us, saved methods, refunds, disputes, its books: our own client.

Over the egress pool like everything else (Orders v2, Payments v2, Webhooks, Disputes and Transaction Search v1). What a
webhook says is never believed: its ids are read again here, since its signature covers only a CRC of the body.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import msgspec

from ruxa.egress.http import Pool
from ruxa.egress.processor import (
    RANKS,
    Capability,
    Checkout,
    Declined,
    Entry,
    Fact,
    Hint,
    NeedsAction,
    Order,
    ProcessorRefused,
    Status,
    WebhookRefused,
)
from ruxa.egress.processors import hints, minor, paypal_signature, wire
from ruxa.egress.processors import paypal_objects as objects
from ruxa.egress.recipient import Recipient
from ruxa.kernel import bounds
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import InvalidCall, Unsupported, UpstreamBusy

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

NAME: Final = "paypal"
API: Final = "https://api-m.paypal.com"
SANDBOX_API: Final = "https://api-m.sandbox.paypal.com"
POLICY: Final = "https://www.paypal.com/webapps/mpp/ua/privacy-full"
METHOD: Final = "paypal"
# API -> its pages, where its certificates are, who signs.
_PLACES: Final = {
    API: ("https://www.paypal.com", "https://api.paypal.com", paypal_signature.SIGNER),
    SANDBOX_API: ("https://www.sandbox.paypal.com", "https://api.sandbox.paypal.com", paypal_signature.SANDBOX_SIGNER),
}
_EVENTS: Final = 100
_EVENTS_DAYS: Final = 30
_TRANSACTIONS: Final = 500
_CERTIFICATES_MAX: Final = 8
_CERTIFICATE_LIVES: Final = timedelta(hours=12)
_SPARE_S: Final = 60
_CAPTURES: Final[Mapping[str, Status]] = {
    "COMPLETED": "succeeded",
    "PARTIALLY_REFUNDED": "succeeded",
    "REFUNDED": "succeeded",
    "PENDING": "pending",
    "DECLINED": "failed",
    "FAILED": "failed",
}
_REFUNDS: Final[Mapping[str, Status]] = {
    "COMPLETED": "succeeded",
    "PENDING": "pending",
    "FAILED": "failed",
    "CANCELLED": "canceled",
}
_DISPUTES: Final[Mapping[str, Status]] = {
    "OPEN": "open",
    "WAITING_FOR_BUYER_RESPONSE": "open",
    "WAITING_FOR_SELLER_RESPONSE": "open",
    "OTHER": "open",
    "UNDER_REVIEW": "pending",
}
_LOST: Final = frozenset({"RESOLVED_BUYER_FAVOUR", "ACCEPTED"})
# Of an approved order: the payer has to do something first, or chose a source that was refused and may choose again.
_NOT_YET: Final = frozenset({"ORDER_NOT_APPROVED", "PAYER_ACTION_REQUIRED", "INSTRUMENT_DECLINED", "PAYER_CANNOT_PAY"})
_TAKEN: Final = frozenset({"ORDER_ALREADY_CAPTURED", "ORDER_COMPLETED_OR_VOIDED"})
# A charge of a saved method that was refused: worth another try later, or never again.
_AGAIN: Final = frozenset({"INSTRUMENT_DECLINED", "PAYER_CANNOT_PAY", "TRANSACTION_LIMIT_EXCEEDED"})
_NEVER: Final = frozenset(
    {
        "CARD_CLOSED",
        "PAYEE_BLOCKED_TRANSACTION",
        "PAYER_ACCOUNT_LOCKED_OR_CLOSED",
        "PAYER_ACCOUNT_RESTRICTED",
        "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING",
        "TOKEN_EXPIRED",
        "TOKEN_ID_NOT_FOUND",
        "TRANSACTION_BLOCKED_BY_PAYEE",
        "TRANSACTION_REFUSED",
        "VAULT_ID_INVALID",
    }
)
# What a line of PayPal's books is about: the first letters of its event code; the longest counts.
_CODES: Final[Mapping[str, str]] = {
    "T00": "capture",
    "T01": "fee",
    "T04": "payout",
    "T1106": "dispute",
    "T1107": "refund",
    "T1108": "fee",
    "T1109": "fee",
    "T1201": "dispute",
    "T1202": "dispute_won",
}
_CAPTURE_LINK: Final = re.compile(r"/v2/payments/captures/([A-Z0-9]{5,50})\Z", re.ASCII)
_PATH_ID: Final = re.compile(r"[A-Za-z0-9-]{3,80}\Z", re.ASCII)

_T = TypeVar("_T")


class PayPal:
    """One PayPal account, by its application's id and secret.

    base_url: another API than the real one, with its own pages (``pages``), certificates and signer; roots: a PEM file
    of what the signer's chain must end in, ``roots_target`` where a sandbox on this machine shows it instead.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        client_id: str,
        secret: str,
        webhook_id: str,
        webhook_check: Literal["signature", "api"] = "signature",
        clock: Clock,
        recipient: Recipient,
        base_url: str = API,
        account: str = "",
        pages: Sequence[str] = (),
        roots: Path | None = None,
        roots_target: str | None = None,
        signer: str | None = None,
    ) -> None:
        self.name: str = NAME
        self.methods: tuple[str, ...] = (METHOD,)
        self.capabilities: frozenset[Capability] = frozenset({"saved", "disputes", "events", "report", "refund"})
        self.livemode: bool = base_url.rstrip("/") == API
        self.account: str = account
        self.recipient: Recipient | None = recipient
        self.policy_url: str = POLICY
        self._wire = wire.Wire(pool, base_url, recipient)
        page, certificates, who = _PLACES.get(
            self._wire.base_url, (self._wire.base_url, self._wire.base_url, paypal_signature.SANDBOX_SIGNER)
        )
        self.origins: tuple[str, ...] = tuple(pages) or (page,)
        self._certificates = wire.Wire(pool, certificates, recipient)
        self._signer = signer or who
        self._roots = roots
        self._roots_target = roots_target
        self._pinned: list[Certificate] = []
        self._signers: dict[str, tuple[datetime, Certificate]] = {}
        # Whoever sends us webhooks names the certificate: so often in a minute we go and look for an unknown one. Those
        # that signed before are read again outside that count, so that nobody's inventions keep them from us.
        self._looks: deque[datetime] = deque(maxlen=bounds.CERTIFICATE_LOOKS_PER_MINUTE)
        self._proven: dict[str, bool] = {}
        self._asked: deque[datetime] = deque(maxlen=bounds.WEBHOOK_QUESTIONS_PER_MINUTE)
        self._basic = "Basic " + b64encode(f"{client_id}:{secret}".encode()).decode()
        self._webhook_id = webhook_id
        self._webhook_check = webhook_check
        self._clock = clock
        self._token = ""
        self._token_until_ms = 0
        self._fetching = asyncio.Lock()

    # --- the way in and out

    async def _bearer(self) -> str:
        async with self._fetching:
            if self._clock.unix_ms() >= self._token_until_ms:
                reply = await self._wire.ask(
                    "POST",
                    "/v1/oauth2/token",
                    {
                        "authorization": self._basic,
                        "content-type": "application/x-www-form-urlencoded",
                        "accept": "application/json",
                    },
                    b"grant_type=client_credentials",
                    tells=False,
                )
                if reply.status != 200:
                    raise _refused(reply)
                token = wire.read(reply.body, objects.Token, "paypal token")
                self._token = token.access_token
                self._token_until_ms = self._clock.unix_ms() + max(0, token.expires_in - _SPARE_S) * 1000
            return self._token

    async def _ask(
        self,
        kind: type[_T],
        method: str,
        target: str,
        body: object = None,
        *,
        key: str | None = None,
        content: tuple[str, bytes] | None = None,
    ) -> _T:
        """One call, its answer typed. A token that PayPal no longer takes is asked for anew, once."""
        media, raw = content or ("application/json", b"" if body is None else msgspec.json.encode(body))
        headers = {"accept": "application/json", "content-type": media}
        if method == "POST":
            headers["prefer"] = "return=representation"
        if key is not None:
            headers["paypal-request-id"] = key
        headers["authorization"] = f"Bearer {await self._bearer()}"
        reply = await self._wire.ask(method, target, headers, raw)
        if reply.status == 401:
            self._token_until_ms = 0
            headers["authorization"] = f"Bearer {await self._bearer()}"
            reply = await self._wire.ask(method, target, headers, raw)
        if not 200 <= reply.status < 300:
            raise _refused(reply)
        return wire.read(reply.body or b"{}", kind, "paypal")

    async def whose(self) -> str:
        """See Processor: a token is asked for; the merchant's id is known once a payment was read."""
        self._token_until_ms = 0
        await self._bearer()
        return self.account

    # --- orders

    async def checkout(self, order: Order) -> Checkout:
        """See Processor."""
        if order.method != METHOD:
            raise InvalidCall("This payment method is not offered.", code="unknown_method")
        wallet: dict[str, Any] = {
            "experience_context": {
                "return_url": order.success_url,
                "cancel_url": order.cancel_url,
                "user_action": "PAY_NOW",
                "shipping_preference": "NO_SHIPPING",
            }
        }
        if order.save_method:
            wallet["attributes"] = {"vault": {"store_in_vault": "ON_SUCCESS", "usage_type": "MERCHANT"}}
        made = await self._ask(
            objects.Order,
            "POST",
            "/v2/checkout/orders",
            {"intent": "CAPTURE", "purchase_units": [_unit(order)], "payment_source": {"paypal": wallet}},
            key=f"order-{order.id}",
        )
        url = _link(made.links, "payer-action") or _link(made.links, "approve")
        if url is None or not url.startswith(tuple(f"{origin}/" for origin in self.origins)):
            raise wire.nonsense("paypal order")
        return Checkout(ext_id=made.id, url=url, expires_at=order.expires_at)

    async def fetch(self, order_id: UUID, ext_id: str) -> list[Fact]:
        """See Processor."""
        found = await self._of_order_id(ext_id) or await self._of_capture_id(ext_id)
        return [fact for fact in found if fact.order_id in (order_id, None)]

    async def capture(self, order_id: UUID, ext_id: str) -> list[Fact]:
        """See Processor: an approved order is captured, once whoever asks and however often."""
        order = await self._order(ext_id)
        if order is None:
            # A charge of a saved method is known by its capture: it may have been pending.
            return [fact for fact in await self._of_capture_id(ext_id) if fact.order_id == order_id]
        if order.purchase_units and _order_id(order) != order_id:
            return []
        if order.status == "APPROVED":
            order = await self._captured(order, f"capture-{order_id}")
        return self._of_order(order)

    async def _captured(self, order: objects.Order, key: str) -> objects.Order:
        try:
            return await self._ask(objects.Order, "POST", f"/v2/checkout/orders/{order.id}/capture", {}, key=key)
        except ProcessorRefused as refusal:
            if refusal.code in _NOT_YET:
                return order
            if refusal.code in _TAKEN:
                return await self._order(order.id) or order
            raise

    async def read(self, kind: str, ext_id: str) -> list[Fact]:
        """See Processor: by the event's kind. An approved order is for ``capture``."""
        if not _PATH_ID.match(ext_id):
            return []
        if kind.startswith("CHECKOUT.ORDER."):
            return await self._of_order_id(ext_id)
        if kind.startswith("CUSTOMER.DISPUTE."):
            return await self._of_dispute_id(ext_id)
        if kind.startswith("PAYMENT.REFUND.") or kind == "PAYMENT.CAPTURE.REFUNDED":
            refund = await self._known(objects.Refund, f"/v2/payments/refunds/{_path(ext_id)}")
            parent = _captured_id(refund.links) if refund is not None else None
            return await self._of_capture_id(parent) if parent else []
        if kind.startswith("PAYMENT.CAPTURE."):
            return await self._of_capture_id(ext_id)
        return []

    async def _known(self, kind: type[_T], target: str) -> _T | None:
        """What is there; None when PayPal knows nothing of it."""
        try:
            return await self._ask(kind, "GET", target)
        except ProcessorRefused as refusal:
            if refusal.code == "processor_not_found":
                return None
            raise

    async def _order(self, ext_id: str) -> objects.Order | None:
        return await self._known(objects.Order, f"/v2/checkout/orders/{_path(ext_id)}")

    async def _of_order_id(self, ext_id: str) -> list[Fact]:
        order = await self._order(ext_id)
        return [] if order is None else self._of_order(order)

    async def _of_capture_id(self, ext_id: str) -> list[Fact]:
        capture = await self._known(objects.Capture, f"/v2/payments/captures/{_path(ext_id)}")
        if capture is None:
            return []
        related = capture.supplementary_data.related_ids if capture.supplementary_data is not None else None
        facts = await self._of_order_id(related.order_id) if related is not None and related.order_id else []
        return facts if any(fact.ext_id == capture.id for fact in facts) else [self._of_capture(capture, None, None)]

    def _of_order(self, order: objects.Order) -> list[Fact]:
        """The captures of an order and what went back of them, or how it stands without any."""
        wallet = order.payment_source.paypal if order.payment_source is not None else None
        vault = wallet.attributes.vault if wallet is not None and wallet.attributes is not None else None
        facts: list[Fact] = []
        for unit in order.purchase_units:
            payments = unit.payments or objects.Payments()
            facts += [self._of_capture(capture, unit, vault) for capture in payments.captures]
            only = payments.captures[0].id if len(payments.captures) == 1 else None
            facts += [
                self._of_refund(refund, _captured_id(refund.links) or only, _uuid(unit.custom_id))
                for refund in payments.refunds
            ]
        if facts or not order.purchase_units or order.purchase_units[0].amount is None:
            return facts
        unit = order.purchase_units[0]
        assert unit.amount is not None
        return [
            self._fact(
                "capture",
                order.id,
                unit.amount,
                status="canceled" if order.status == "VOIDED" else "open",
                at=order.create_time or "1970-01-01T00:00:00Z",
                order_id=_uuid(unit.custom_id),
                payee=unit.payee,
            )
        ]

    def _of_capture(self, capture: objects.Capture, unit: objects.Unit | None, vault: objects.Vault | None) -> Fact:
        kept = capture.seller_receivable_breakdown.paypal_fee if capture.seller_receivable_breakdown else None
        kept_method = vault if vault is not None and vault.status == "VAULTED" else objects.Vault()
        return self._fact(
            "capture",
            capture.id,
            capture.amount,
            status=_status(_CAPTURES, capture.status),
            at=capture.create_time,
            order_id=_uuid(capture.custom_id or (unit.custom_id if unit is not None else None)),
            fee_minor=None if kept is None else minor.of(kept.value, kept.currency_code),
            payee=capture.payee or (unit.payee if unit is not None else None),
            customer=kept_method.customer.id if kept_method.customer is not None else None,
            saved=kept_method.id,
        )

    def _of_refund(self, refund: objects.Refund, parent: str | None, order_id: UUID | None) -> Fact:
        return self._fact(
            "refund",
            refund.id,
            refund.amount,
            status=_status(_REFUNDS, refund.status),
            at=refund.create_time,
            order_id=_uuid(refund.custom_id) or order_id,
            parent=parent,
        )

    async def _of_dispute_id(self, ext_id: str) -> list[Fact]:
        dispute = await self._known(objects.Dispute, f"/v1/customer/disputes/{_path(ext_id)}")
        if dispute is None:
            return []
        payment = dispute.disputed_transactions[0] if dispute.disputed_transactions else objects.Disputed()
        if dispute.status == "RESOLVED":
            outcome = dispute.dispute_outcome.outcome_code if dispute.dispute_outcome is not None else ""
            status: Status = "lost" if outcome in _LOST else "won"
        else:
            status = _status(_DISPUTES, dispute.status)
        fees = [
            minor.of(one.amount.value, one.amount.currency_code)
            for one in dispute.money_movements
            if one.amount is not None
            and one.affected_party == "SELLER"
            and one.type == "DEBIT"
            and one.reason.endswith("_FEE")
        ]
        capture = payment.seller_transaction_id
        of_capture = await self._of_capture_id(capture) if capture else []
        return [
            *of_capture,
            self._fact(
                "dispute",
                dispute.dispute_id,
                dispute.dispute_amount,
                status=status,
                at=dispute.create_time,
                order_id=_uuid(payment.custom) or next((one.order_id for one in of_capture), None),
                parent=capture or None,
                fee_minor=sum(fees),
            ),
        ]

    def _fact(
        self,
        kind: Literal["capture", "refund", "dispute"],
        ext_id: str,
        amount: objects.Money,
        *,
        status: Status,
        at: str,
        order_id: UUID | None,
        payee: objects.Payee | None = None,
        **fields: Any,
    ) -> Fact:
        if payee is not None and not self.account:
            self.account = payee.merchant_id  # read with our own key: it is ours
        return Fact(
            kind=kind,
            ext_id=ext_id,
            order_id=order_id,
            amount_minor=minor.of(amount.value, amount.currency_code),
            currency=amount.currency_code,
            status=status,
            rank=RANKS[status],
            at=_at(at),
            livemode=self.livemode,
            account=(payee.merchant_id if payee is not None else "") or self.account,
            **fields,
        )

    # --- webhooks and events

    async def verify(self, headers: Mapping[str, str], raw: bytes, now: datetime) -> Hint:
        """See Processor."""
        found = paypal_signature.transmission(headers, now)
        target = paypal_signature.target(found.certificate_url, self._certificates.base_url)
        if self._webhook_check == "api":
            await self._ask_whether(found, raw)
        else:
            paypal_signature.check(found, raw, self._webhook_id, await self._signer_at(target, now))
            self._proven[target] = True
            while len(self._proven) > _CERTIFICATES_MAX:
                del self._proven[next(iter(self._proven))]
        event = hints.body(raw, objects.Event)
        seen = [event.resource.payee, *(unit.payee for unit in event.resource.purchase_units)]
        if self.account and any(payee.merchant_id not in ("", self.account) for payee in seen if payee is not None):
            raise WebhookRefused("webhook_foreign", "account")
        return _hint(event, found.id)

    async def _ask_whether(self, found: paypal_signature.Transmission, raw: bytes) -> None:
        """PayPal's own word on it; the body goes back byte for byte."""
        hints.body(raw, objects.Event)
        # Anybody may send what costs us a request: payments must not find PayPal busy with those.
        now = self._clock.now()
        if len(self._asked) == self._asked.maxlen and now - self._asked[0] < timedelta(minutes=1):
            raise UpstreamBusy("Too many webhooks to ask about.", code="webhooks_exhausted")
        self._asked.append(now)
        said = await self._ask(
            objects.Verified,
            "POST",
            "/v1/notifications/verify-webhook-signature",
            {
                "auth_algo": found.algorithm,
                "cert_url": found.certificate_url,
                "transmission_id": found.id,
                "transmission_sig": found.signature,
                "transmission_time": found.time,
                "webhook_id": self._webhook_id,
                "webhook_event": msgspec.Raw(raw),
            },
        )
        if said.verification_status != "SUCCESS":
            raise WebhookRefused("webhook_forged", "signature wrong")

    async def _signer_at(self, target: str, now: datetime) -> Certificate:
        """The certificate there, checked; kept for half a day."""
        kept = self._signers.get(target)
        if kept is not None and now < kept[0]:
            return kept[1]
        if not self._proven.pop(target, False):
            if len(self._looks) == self._looks.maxlen and now - self._looks[0] < timedelta(minutes=1):
                raise UpstreamBusy("Too many unknown certificates.", code="certificates_exhausted")
            self._looks.append(now)
        if not self._pinned:
            self._pinned = await self._read_roots()
        reply = await self._certificates.ask(
            "GET",
            target,
            {"accept": "application/x-pem-file, */*"},
            tells=False,
            bytes_max=paypal_signature.PEM_BYTES_MAX,
        )
        if reply.status != 200:
            raise WebhookRefused("webhook_forged", "certificate missing")
        certificate = paypal_signature.signer(reply.body, self._pinned, self._signer, now)
        while len(self._signers) >= _CERTIFICATES_MAX:
            # One that signed nothing yet goes first.
            del self._signers[
                next((one for one in self._signers if one not in self._proven), next(iter(self._signers)))
            ]
        self._signers[target] = min(now + _CERTIFICATE_LIVES, certificate.not_valid_after_utc), certificate
        return certificate

    async def _read_roots(self) -> list[Certificate]:
        if self._roots_target is None:
            return await asyncio.to_thread(paypal_signature.pinned, self._roots)
        from cryptography import x509

        reply = await self._wire.ask("GET", self._roots_target, {}, tells=False)
        return x509.load_pem_x509_certificates(reply.body)

    async def events(self, since: datetime, until: datetime) -> list[Hint]:
        """See Processor; PayPal lists the last 30 days."""
        query = {
            "page_size": _EVENTS,
            "start_time": _said(max(since, self._clock.now() - timedelta(days=_EVENTS_DAYS))),
            "end_time": _said(until + timedelta(seconds=1)),
        }
        found: list[Hint] = []
        target = f"/v1/notifications/webhooks-events?{urlencode(query)}"
        for _ in range(bounds.EVENT_PAGES_MAX):
            page = await self._ask(objects.Events, "GET", target)
            for event in page.events:
                thing = event.resource.dispute_id or event.resource.id or ""
                if hints.fits(event.id, thing, event.event_type):
                    found.append(_hint(event, event.id))
            following = _link(page.links, "next") if page.events else None
            parts = urlsplit(following) if following is not None else None
            if parts is None:
                return found[::-1]
            target = f"{parts.path}?{parts.query}"
        raise wire.too_much("paypal events")

    # --- what goes back

    async def refund(self, capture: str, amount_minor: int, key: UUID, currency: str = "USD") -> Fact:
        """See Processor."""
        if not self.account:
            await self._of_capture_id(capture)
        made = await self._ask(
            objects.Refund,
            "POST",
            f"/v2/payments/captures/{_path(capture)}/refund",
            {"amount": {"currency_code": currency, "value": minor.text(amount_minor)}},
            key=f"refund-{key}",
        )
        return self._of_refund(made, capture, None)

    async def submit_evidence(self, dispute: str, text: str) -> None:
        """See Processor: as a note (2,000 characters at most)."""
        evidence = {"evidences": [{"evidence_type": "OTHER", "notes": text[:2000]}]}
        boundary = b"ruxa-evidence"
        part = b'content-disposition: form-data; name="input"\r\ncontent-type: application/json\r\n\r\n'
        content = b"--%b\r\n%b%b\r\n--%b--\r\n" % (boundary, part, msgspec.json.encode(evidence), boundary)
        await self._ask(
            dict[str, object],
            "POST",
            f"/v1/customer/disputes/{_path(dispute)}/provide-evidence",
            content=(f"multipart/form-data; boundary={boundary.decode()}", content),
        )

    # --- saved methods

    async def create_customer(self, ref: str) -> str:
        """See Processor; PayPal makes its own id when a method is saved, so it is told nothing before."""
        return ref

    async def charge_saved(self, customer: str, saved: str, order: Order, key: UUID) -> Fact | Declined | NeedsAction:
        """See Processor."""
        try:
            made = await self._ask(
                objects.Order,
                "POST",
                "/v2/checkout/orders",
                {
                    "intent": "CAPTURE",
                    "purchase_units": [_unit(order)],
                    "payment_source": {"paypal": {"vault_id": saved}},
                },
                key=f"charge-{key}",
            )
            if made.status in ("CREATED", "APPROVED", "SAVED"):
                made = await self._ask(
                    objects.Order, "POST", f"/v2/checkout/orders/{made.id}/capture", {}, key=f"charge-capture-{key}"
                )
        except ProcessorRefused as refusal:
            if refusal.code in _AGAIN | _NEVER:
                return Declined(code=refusal.code.lower(), retry=refusal.code in _AGAIN)
            raise
        if made.status == "PAYER_ACTION_REQUIRED":
            return NeedsAction(url=_link(made.links, "payer-action") or "", ext_id=made.id)
        facts = [fact for fact in self._of_order(made) if fact.kind == "capture"]
        if not facts:
            raise wire.nonsense("paypal charge")
        fact = msgspec.structs.replace(facts[0], order_id=order.id)
        return Declined(code="capture_declined", retry=True) if fact.status == "failed" else fact

    async def portal(self, customer: str, return_url: str) -> str:
        """PayPal has none that we could send somebody to: people manage payments in their own account there."""
        raise Unsupported("PayPal payments are managed in the PayPal account itself.", code="no_portal")

    # --- books

    async def report(self, day: date) -> list[Entry]:
        """See Processor: settled transactions of ``day`` (UTC). PayPal shows them up to three hours late."""
        entries: list[Entry] = []
        page, pages = 1, 1
        while page <= pages:
            query = {
                "start_date": f"{day.isoformat()}T00:00:00Z",
                "end_date": f"{day.isoformat()}T23:59:59Z",
                "fields": "transaction_info",
                "page_size": _TRANSACTIONS,
                "page": page,
            }
            found = await self._ask(objects.Transactions, "GET", f"/v1/reporting/transactions?{urlencode(query)}")
            entries += [
                _entry(one.transaction_info)
                for one in found.transaction_details
                if one.transaction_info.transaction_status not in ("D", "P")
            ]
            if (pages := found.total_pages) > bounds.REPORT_PAGES_MAX:
                raise wire.too_much("paypal report")
            page += 1
        return entries


def _refused(reply: wire.Reply) -> Exception:
    """A refusal as one of our errors, by its first issue or its name; PayPal's sentences stay here."""
    status = reply.status
    if status == 429:
        return UpstreamBusy("The payment processor is busy.", code="processor_busy")
    try:
        said = msgspec.json.decode(reply.body, type=objects.Refusal) if reply.body else objects.Refusal()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = objects.Refusal()
    word = next((one.issue for one in said.details if one.issue), "") or said.name or said.error
    if status in (401, 403):
        return ProcessorRefused(
            "The payment processor refuses our key.", code="processor_key_refused", detail=f"paypal {status}"
        )
    if status == 404 or word in ("RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID"):
        return ProcessorRefused("The payment processor does not know this.", code="processor_not_found")
    if status >= 500 or status == 409:
        return wire.away("paypal", status)
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{2,80}", word):
        word = "processor_refused"
    return ProcessorRefused("The payment processor refused this.", code=word, detail=f"paypal {status}")


def _unit(order: Order) -> dict[str, object]:
    amount: dict[str, object] = {"currency_code": order.currency, "value": minor.text(order.total_minor)}
    if order.tax_minor:
        amount["breakdown"] = {
            "item_total": {"currency_code": order.currency, "value": minor.text(order.amount_minor)},
            "tax_total": {"currency_code": order.currency, "value": minor.text(order.tax_minor)},
        }
    return {
        "amount": amount,
        "custom_id": str(order.id),
        "invoice_id": order.reference,
        "description": order.description[:127],
    }


def _order_id(order: objects.Order) -> UUID | None:
    return _uuid(order.purchase_units[0].custom_id) if order.purchase_units else None


def _hint(event: objects.Event, event_id: str) -> Hint:
    thing = event.resource
    reference = thing.custom_id or (thing.purchase_units[0].custom_id if thing.purchase_units else None)
    try:
        at = datetime.fromisoformat(event.create_time)
    except ValueError:
        raise WebhookRefused("webhook_malformed", "time") from None
    return hints.made(
        event_id,
        event.event_type,
        thing.dispute_id or thing.id or "",
        _uuid(reference),
        at if at.tzinfo is not None else at.replace(tzinfo=UTC),
    )


def _entry(line: objects.Transaction) -> Entry:
    code = line.transaction_event_code
    kind = next((_CODES[code[:size]] for size in (5, 3) if code[:size] in _CODES), "other")
    currency = line.transaction_amount.currency_code
    gross = minor.of(line.transaction_amount.value, currency)
    fee = -minor.of(line.fee_amount.value, line.fee_amount.currency_code) if line.fee_amount is not None else 0
    return Entry(
        ext_id=line.transaction_id,
        kind=kind,  # pyright: ignore[reportArgumentType]
        source=line.transaction_id,
        parent=line.paypal_reference_id if kind in ("refund", "dispute", "dispute_won") else None,
        order_id=_uuid(line.custom_field),
        gross_minor=gross,
        fee_minor=fee,
        net_minor=gross - fee,
        currency=currency,
        at=_at(line.transaction_initiation_date),
    )


def _status(table: Mapping[str, Status], word: str) -> Status:
    if word not in table:
        raise wire.nonsense("paypal status")
    return table[word]


def _link(links: Sequence[objects.Link], rel: str) -> str | None:
    return next((link.href for link in links if link.rel == rel), None)


def _captured_id(links: Sequence[objects.Link]) -> str | None:
    """The capture that a refund points up to."""
    up = _link(links, "up")
    found = _CAPTURE_LINK.search(urlsplit(up).path) if up is not None else None
    return found[1] if found is not None else None


def _path(ext_id: str) -> str:
    """An id as part of a path; anything else never goes out."""
    if not _PATH_ID.match(ext_id):
        raise ProcessorRefused("The payment processor does not know this.", code="processor_not_found")
    return ext_id


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def _at(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise wire.nonsense("paypal time") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _said(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
