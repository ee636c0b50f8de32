"""Stripe: hosted Checkout, saved methods, refunds, disputes, the billing portal, its books - by the official SDK.

A payment is Stripe's PaymentIntent: its id is the capture's, whatever charges it took. A Checkout that says
``complete`` and ``unpaid`` is no money: only an intent that ``succeeded`` is. The SDK is imported when first used.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from ruxa.egress.http import Pool
from ruxa.egress.processor import (
    RANKS,
    Capability,
    Card,
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
from ruxa.egress.processors import hints, stripe_signature, wire
from ruxa.egress.processors import stripe_objects as objects
from ruxa.egress.recipient import Recipient
from ruxa.kernel import bounds
from ruxa.kernel.errors import InvalidCall, UpstreamBusy

if TYPE_CHECKING:
    from stripe import StripeClient

NAME: Final = "stripe"
API: Final = "https://api.stripe.com"
POLICY: Final = "https://stripe.com/privacy"
PAGES: Final = ("https://checkout.stripe.com", "https://billing.stripe.com")
# Stripe lets no session end sooner than 30 minutes after it was made: an order's own half hour is stretched by this.
_EXPIRES_AFTER_S: Final = 120
_LIST: Final = 100
_INTENTS: Final[Mapping[str, Status]] = {
    "requires_payment_method": "open",
    "requires_confirmation": "open",
    "requires_action": "open",
    "requires_capture": "open",
    "processing": "pending",
    "canceled": "canceled",
    "succeeded": "succeeded",
}
_REFUNDS: Final[Mapping[str, Status]] = {
    "pending": "pending",
    "requires_action": "pending",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
}
# An inquiry (``warning_...``) has taken no money: it is no dispute yet.
_DISPUTES: Final[Mapping[str, Status]] = {
    "needs_response": "open",
    "under_review": "pending",
    "won": "won",
    "prevented": "won",
    "lost": "lost",
}
_PAYOUTS: Final[Mapping[str, Status]] = {
    "pending": "pending",
    "in_transit": "pending",
    "paid": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
}
# Refusals after which the same card is never tried again.
_FOR_GOOD: Final = frozenset(
    {
        "do_not_honor",
        "do_not_try_again",
        "expired_card",
        "fraudulent",
        "incorrect_number",
        "invalid_account",
        "invalid_number",
        "lost_card",
        "merchant_blacklist",
        "no_action_taken",
        "not_permitted",
        "pickup_card",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "security_violation",
        "stolen_card",
        "stop_payment_order",
        "transaction_not_allowed",
    }
)
_CATEGORIES: Final[Mapping[str, str]] = {
    "charge": "capture",
    "refund": "refund",
    "partial_capture_reversal": "refund",
    "dispute": "dispute",
    "dispute_reversal": "dispute_won",
    "fee": "fee",
    "network_cost": "fee",
    "payout": "payout",
    "payout_reversal": "payout",
}
_EXPAND: Final = "latest_charge.balance_transaction"
_WORD: Final = re.compile(r"[a-z][a-z_]{1,59}\Z", re.ASCII)

_T = TypeVar("_T")


class Stripe:
    """One Stripe account, by its secret key.

    tax: Stripe computes tax at Checkout; methods: Stripe's own words for what may be chosen.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        key: str,
        webhook_secrets: Sequence[str],
        base_url: str = API,
        account: str = "",
        methods: Sequence[str] = (),
        tax: bool = False,
        pages: Sequence[str] = PAGES,
        recipient: Recipient,
    ) -> None:
        """Raises InvalidCall ``bad_setting`` for a key that is no secret key."""
        if not key.startswith(("sk_", "rk_")):
            raise InvalidCall("payments.stripe.key is no secret key (sk_... or rk_...).", code="bad_setting")
        self.name: str = NAME
        self.methods: tuple[str, ...] = tuple(methods) or ("card",)
        self._named = bool(methods)  # else Stripe's dashboard says what its page offers
        self.capabilities: frozenset[Capability] = frozenset(
            {"saved", "portal", "disputes", "events", "report", "refund"}
        )
        self.livemode: bool = key.startswith(("sk_live_", "rk_live_"))
        self.account: str = account
        self.recipient: Recipient | None = recipient
        self.policy_url: str = POLICY
        self.origins: tuple[str, ...] = tuple(pages)
        self._wire = wire.Wire(pool, base_url, recipient)
        self._key = key
        self._secrets = tuple(webhook_secrets)
        self._tax = tax
        self._client: StripeClient | None = None

    # --- the way in and out

    async def _sdk(self) -> StripeClient:
        if self._client is None:
            self._client = await asyncio.to_thread(_client, self._wire, self._key)
        return self._client

    async def _ask(self, kind: type[_T], call: Callable[[StripeClient], Awaitable[Any]]) -> _T:
        """One call of the SDK; its answer read anew from the bytes, so that only known fields get any further."""
        sdk = await self._sdk()
        import stripe

        try:
            answer = await call(sdk)
        except stripe.StripeError as error:
            raise _refused(error) from None
        return wire.read(answer.last_response.body, kind, "stripe")

    async def whose(self) -> str:
        """See Processor."""
        return (await self._ask(objects.Account, lambda sdk: sdk.v1.accounts.retrieve_current_async())).id

    async def _mine(self) -> str:
        """Whose account the key belongs to; asked for once."""
        if not self.account:
            self.account = await self.whose()
        return self.account

    # --- orders

    async def checkout(self, order: Order) -> Checkout:
        """See Processor."""
        if order.method not in self.methods:
            raise InvalidCall("This payment method is not offered.", code="unknown_method")
        reference = {"order": str(order.id)}
        currency = order.currency.lower()
        lines: list[dict[str, Any]] = [_line(order.description, order.amount_minor, currency)]
        if order.tax_minor:
            lines.append(_line("Tax", order.tax_minor, currency))
        intent: dict[str, Any] = {"metadata": reference, "description": order.description}
        if order.save_method:
            intent["setup_future_usage"] = "off_session"
        params: Any = {
            "mode": "payment",
            "client_reference_id": str(order.id),
            "metadata": reference,
            "line_items": lines,
            "payment_intent_data": intent,
            "success_url": order.success_url,
            "cancel_url": order.cancel_url,
            "expires_at": int(order.expires_at.timestamp()) + _EXPIRES_AFTER_S,
        }
        if self._named:
            params["allowed_payment_method_types"] = [order.method]
        if self._tax:
            params["automatic_tax"] = {"enabled": True}
            params["tax_id_collection"] = {"enabled": True}
            lines[0]["price_data"]["tax_behavior"] = "exclusive"
        if order.customer:
            params["customer"] = order.customer
            if self._tax:
                params["customer_update"] = {"address": "auto", "name": "auto"}
        elif order.save_method:
            params["customer_creation"] = "always"
        session = await self._ask(
            objects.Session,
            lambda sdk: sdk.v1.checkout.sessions.create_async(params, {"idempotency_key": f"order-{order.id}"}),
        )
        if not session.url or session.client_reference_id != str(order.id):
            raise wire.nonsense("stripe session")
        return Checkout(ext_id=session.id, url=session.url, expires_at=_at(session.expires_at))

    async def fetch(self, order_id: UUID, ext_id: str) -> list[Fact]:
        """See Processor."""
        facts = await self.read("fetch", ext_id)
        return [fact for fact in facts if fact.order_id in (order_id, None)]

    async def capture(self, order_id: UUID, ext_id: str) -> list[Fact]:
        """See Processor; Stripe captures by itself."""
        return await self.fetch(order_id, ext_id)

    async def read(self, kind: str, ext_id: str) -> list[Fact]:
        """See Processor: by the id's own prefix, whatever the event was called."""
        try:
            return await self._read(ext_id)
        except ProcessorRefused as refusal:
            if refusal.code == "processor_not_found":
                return []
            raise

    async def _read(self, ext_id: str) -> list[Fact]:
        prefix = ext_id.partition("_")[0]
        if prefix == "cs":
            session = await self._ask(
                objects.Session,
                lambda sdk: sdk.v1.checkout.sessions.retrieve_async(ext_id, {"expand": [f"payment_intent.{_EXPAND}"]}),
            )
            return await self._of_session(session)
        if prefix == "pi":
            return await self._of_intent(await self._intent(ext_id))
        if prefix in ("ch", "py"):
            charge = await self._ask(objects.Charge, lambda sdk: sdk.v1.charges.retrieve_async(ext_id))
            return await self._of_payment(charge.payment_intent)
        if prefix in ("re", "pyr"):
            refund = await self._ask(objects.Refund, lambda sdk: sdk.v1.refunds.retrieve_async(ext_id))
            return await self._of_refunded(refund)
        if prefix in ("dp", "du"):
            dispute = await self._ask(objects.Dispute, lambda sdk: sdk.v1.disputes.retrieve_async(ext_id))
            return await self._of_payment(dispute.payment_intent)
        if prefix == "po":
            payout = await self._ask(objects.Payout, lambda sdk: sdk.v1.payouts.retrieve_async(ext_id))
            return [await self._of_payout(payout)]
        return []

    async def _intent(self, ext_id: str) -> objects.Intent:
        return await self._ask(
            objects.Intent, lambda sdk: sdk.v1.payment_intents.retrieve_async(ext_id, {"expand": [_EXPAND]})
        )

    async def _of_payment(self, intent: str | None) -> list[Fact]:
        return await self._of_intent(await self._intent(intent)) if intent else []

    async def _of_refunded(self, refund: objects.Refund) -> list[Fact]:
        """A refund's payment with all that went back of it, and the refund itself when it came back: a charge of which
        nothing is refunded any more shows no refunds."""
        payment = _id(refund.payment_intent)
        if not payment:
            return []
        intent = await self._intent(payment)
        facts = await self._of_intent(intent)
        if all(fact.ext_id != refund.id for fact in facts):
            facts.append(await self._of_refund(refund, intent))
        return facts

    async def _of_session(self, session: objects.Session) -> list[Fact]:
        # Our own word: anybody may put a ``client_reference_id`` into the address of a payment link of the account.
        order_id = _uuid((session.metadata or {}).get("order"))
        intent = session.payment_intent
        if isinstance(intent, str):
            intent = await self._intent(intent)
        facts = (
            [] if intent is None else await self._of_intent(intent, order_id=order_id, tax_minor=self._taxed(session))
        )
        if session.status == "expired" and not any(one.status in ("succeeded", "pending") for one in facts):
            facts.append(
                await self._fact(
                    kind="capture",
                    ext_id=session.id,
                    order_id=order_id,
                    amount_minor=session.amount_total or 0,
                    currency=session.currency or "usd",
                    status="expired",
                    at=session.expires_at,
                    livemode=session.livemode,
                )
            )
        return facts

    def _taxed(self, session: objects.Session) -> int | None:
        """What Stripe added as tax, where it computes any."""
        return session.total_details.amount_tax if self._tax and session.total_details is not None else None

    async def _of_intent(
        self, intent: objects.Intent, *, order_id: UUID | None = None, tax_minor: int | None = None
    ) -> list[Fact]:
        """The payment itself, then what went back of it."""
        order_id = order_id or _uuid((intent.metadata or {}).get("order"))
        charge = intent.latest_charge if isinstance(intent.latest_charge, objects.Charge) else None
        status = _known(_INTENTS, intent.status)
        if status == "open" and charge is not None and charge.status == "failed" and _card(charge) is None:
            status = "failed"  # a bank that was asked for days said no; whoever pays by card may try another
        paid = status == "succeeded"
        books = charge.balance_transaction if charge is not None else None
        kept = intent.setup_future_usage == "off_session" and paid
        if paid and self._tax and tax_minor is None:
            # Of the tax only the Checkout knows; a charge of a saved method had none, its tax was our own.
            page = await self._ask(
                objects.Page[objects.Session],
                lambda sdk: sdk.v1.checkout.sessions.list_async({"payment_intent": intent.id}),
            )
            tax_minor = self._taxed(page.data[0]) if page.data else None
        facts = [
            await self._fact(
                kind="capture",
                ext_id=intent.id,
                order_id=order_id,
                amount_minor=intent.amount_received if paid else intent.amount,
                tax_minor=tax_minor,
                currency=intent.currency,
                fee_minor=books.fee if paid and isinstance(books, objects.Books) else None,
                status=status,
                at=charge.created if charge is not None else intent.created,
                livemode=intent.livemode,
                card=_card(charge),
                customer=intent.customer,
                saved=intent.payment_method if kept else None,
            )
        ]
        if charge is not None and charge.amount_refunded:
            facts += [
                await self._of_refund(refund, intent)
                for refund in await self._all(objects.Refund, "refunds", intent.id)
            ]
        if charge is not None and charge.disputed:
            for dispute in await self._all(objects.Dispute, "disputes", intent.id):
                if dispute.status in _DISPUTES:
                    facts.append(await self._of_dispute(dispute, intent.id, order_id))
        return facts

    async def _all(self, kind: type[_T], what: str, intent: str) -> list[_T]:
        page = await self._ask(
            objects.Page[kind],
            lambda sdk: getattr(sdk.v1, what).list_async({"payment_intent": intent, "limit": _LIST}),
        )
        return page.data

    async def _of_refund(self, refund: objects.Refund, intent: objects.Intent) -> Fact:
        return await self._fact(
            kind="refund",
            ext_id=refund.id,
            order_id=_uuid((intent.metadata or {}).get("order")),
            parent=intent.id,
            amount_minor=refund.amount,
            currency=refund.currency,
            status=_known(_REFUNDS, refund.status or "pending"),
            at=refund.created,
            livemode=intent.livemode,
        )

    async def _of_dispute(self, dispute: objects.Dispute, intent: str, order_id: UUID | None) -> Fact:
        return await self._fact(
            kind="dispute",
            ext_id=dispute.id,
            order_id=order_id,
            parent=intent,
            amount_minor=dispute.amount,
            currency=dispute.currency,
            fee_minor=max(0, sum(line.fee for line in dispute.balance_transactions)),
            status=_known(_DISPUTES, dispute.status),
            at=dispute.created,
            livemode=dispute.livemode,
        )

    async def _of_payout(self, payout: objects.Payout) -> Fact:
        return await self._fact(
            kind="payout",
            ext_id=payout.id,
            order_id=None,
            amount_minor=abs(payout.amount),
            currency=payout.currency,
            status=_known(_PAYOUTS, payout.status),
            at=payout.created,
            livemode=payout.livemode,
        )

    async def _fact(self, *, status: Status, at: int, currency: str, **fields: Any) -> Fact:
        return Fact(
            status=status,
            rank=RANKS[status],
            at=_at(at),
            currency=currency.upper(),
            account=await self._mine(),
            **fields,
        )

    # --- webhooks and events

    async def verify(self, headers: Mapping[str, str], raw: bytes, now: datetime) -> Hint:
        """See Processor: signature first, then what the event itself says about account and mode."""
        stripe_signature.check(headers.get("stripe-signature"), raw, self._secrets, now)
        event = hints.body(raw, objects.Event)
        if event.account is not None and event.account != await self._mine():
            raise WebhookRefused("webhook_foreign", "account")
        if event.livemode is not self.livemode:
            raise WebhookRefused("webhook_mode", "livemode")
        return _hint(event)

    async def events(self, since: datetime, until: datetime) -> list[Hint]:
        """See Processor; Stripe lists the last 30 days."""
        found: list[Hint] = []
        after: str | None = None
        for _ in range(bounds.EVENT_PAGES_MAX):
            created = {"gte": int(since.timestamp()), "lte": int(until.timestamp()) + 1}
            params: Any = {"created": created, "limit": _LIST}
            if after is not None:
                params["starting_after"] = after
            page = await self._ask(
                objects.Page[objects.Event], lambda sdk, params=params: sdk.v1.events.list_async(params)
            )
            for event in page.data:
                if event.livemode is self.livemode and hints.fits(event.id, event.data.object.id, event.type):
                    found.append(_hint(event))
            if not page.has_more or not page.data:
                return found[::-1]
            after = page.data[-1].id
        raise wire.too_much("stripe events")

    # --- what goes back

    async def refund(self, capture: str, amount_minor: int, key: UUID, currency: str = "USD") -> Fact:
        """See Processor."""
        params: Any = {"payment_intent": capture, "amount": amount_minor, "expand": ["payment_intent"]}
        refund = await self._ask(
            objects.Refund,
            lambda sdk: sdk.v1.refunds.create_async(params, {"idempotency_key": f"refund-{key}"}),
        )
        intent = refund.payment_intent
        if not isinstance(intent, objects.Intent) or intent.id != capture or refund.currency.upper() != currency:
            raise wire.nonsense("stripe refund")
        return await self._of_refund(refund, intent)

    async def submit_evidence(self, dispute: str, text: str) -> None:
        """See Processor: as uncategorised text (20,000 characters at most), submitted at once."""
        await self._ask(
            objects.Dispute,
            lambda sdk: sdk.v1.disputes.update_async(
                dispute, {"evidence": {"uncategorized_text": text[:20_000]}, "submit": True}
            ),
        )

    # --- saved methods

    async def create_customer(self, ref: str) -> str:
        """See Processor; Stripe gets the pseudonym and nothing else."""
        made = await self._ask(
            objects.Customer,
            lambda sdk: sdk.v1.customers.create_async(
                {"metadata": {"ref": ref}}, {"idempotency_key": f"customer-{ref}"}
            ),
        )
        return made.id

    async def charge_saved(self, customer: str, saved: str, order: Order, key: UUID) -> Fact | Declined | NeedsAction:
        """See Processor. A charge that waits for the bank's page needs a new checkout: Stripe gives no URL for it."""
        params: Any = {
            "amount": order.total_minor,
            "currency": order.currency.lower(),
            "customer": customer,
            "payment_method": saved,
            # Nobody is there to be sent to a page and back.
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "off_session": True,
            "confirm": True,
            "description": order.description,
            "metadata": {"order": str(order.id)},
            "expand": [_EXPAND],
        }
        try:
            intent = await self._ask(
                objects.Intent,
                lambda sdk: sdk.v1.payment_intents.create_async(params, {"idempotency_key": f"charge-{key}"}),
            )
        except CardRefused as refusal:
            trouble, code = refusal.trouble, refusal.code
            if "authentication_required" in (trouble.code, trouble.decline_code):
                return NeedsAction(url="", ext_id=trouble.payment_intent.id if trouble.payment_intent else "")
            for_good = code in _FOR_GOOD or trouble.code in _FOR_GOOD or trouble.advice_code == "do_not_try_again"
            return Declined(code=code, retry=not for_good)
        if intent.status == "requires_action":
            return NeedsAction(url="", ext_id=intent.id)
        return (await self._of_intent(intent, order_id=order.id))[0]

    async def portal(self, customer: str, return_url: str) -> str:
        """See Processor."""
        made = await self._ask(
            objects.Portal,
            lambda sdk: sdk.v1.billing_portal.sessions.create_async({"customer": customer, "return_url": return_url}),
        )
        return made.url

    # --- books

    async def report(self, day: date) -> list[Entry]:
        """See Processor: balance transactions created on ``day`` (UTC)."""
        start = datetime.combine(day, time(), UTC)
        entries: list[Entry] = []
        after: str | None = None
        for _ in range(bounds.REPORT_PAGES_MAX):
            params: Any = {
                "created": {"gte": int(start.timestamp()), "lt": int((start + timedelta(days=1)).timestamp())},
                "limit": _LIST,
                "expand": ["data.source"],
            }
            if after is not None:
                params["starting_after"] = after
            page = await self._ask(
                objects.Page[objects.Books], lambda sdk, params=params: sdk.v1.balance_transactions.list_async(params)
            )
            entries += [_entry(line) for line in page.data]
            if not page.has_more or not page.data:
                return entries[::-1]
            after = page.data[-1].id
        raise wire.too_much("stripe report")


class CardRefused(ProcessorRefused):
    """The card's bank said no."""

    def __init__(self, trouble: objects.Trouble) -> None:
        code = _word(trouble.decline_code or trouble.code, "card_declined")
        super().__init__("The card was refused.", code=code)
        self.trouble = trouble


def _client(api: wire.Wire, key: str) -> StripeClient:
    from ruxa.egress.processors import stripe_transport

    return stripe_transport.client(api, key)


def _refused(error: Any) -> Exception:
    """An error of the SDK's as one of ours; Stripe's own sentences, which quote what was sent, stay here."""
    import stripe

    status: int = error.http_status or 0
    try:
        trouble = wire.read(error.http_body or b"", objects.Refusal, "stripe error").error
    except ProcessorRefused as nonsense:
        return nonsense
    if isinstance(error, stripe.CardError):
        return CardRefused(trouble)
    if status == 429:
        return UpstreamBusy("The payment processor is busy.", code="processor_busy")
    if status in (401, 403):
        return ProcessorRefused(
            "The payment processor refuses our key.", code="processor_key_refused", detail=f"stripe {status}"
        )
    if status == 404 or trouble.code == "resource_missing":
        return ProcessorRefused("The payment processor does not know this.", code="processor_not_found")
    if trouble.type == "idempotency_error" or status == 409:
        return ProcessorRefused(
            "The payment processor was asked twice in different words.", code="processor_key_reused", known=False
        )
    if status >= 500:
        return wire.away("stripe", status)
    return ProcessorRefused(
        "The payment processor refused this.", code=_word(trouble.code, "processor_refused"), detail=f"stripe {status}"
    )


def _word(said: str | None, otherwise: str) -> str:
    """A code of Stripe's, which is kept and logged: a word, or ours instead; a sentence may be about somebody."""
    return said if said is not None and _WORD.match(said) else otherwise


def _line(name: str, minor: int, currency: str) -> dict[str, Any]:
    return {
        "price_data": {"currency": currency, "unit_amount": minor, "product_data": {"name": name}},
        "quantity": 1,
    }


def _card(charge: objects.Charge | None) -> Card | None:
    details = charge.payment_method_details if charge is not None else None
    card = details.card if details is not None else None
    if card is None or card.fingerprint is None:
        return None
    return Card(
        brand=card.brand or "",
        last4=card.last4 or "",
        exp_month=card.exp_month or 0,
        exp_year=card.exp_year or 0,
        fingerprint=card.fingerprint,
    )


def _hint(event: objects.Event) -> Hint:
    thing = event.data.object
    reference = thing.client_reference_id or (thing.metadata or {}).get("order")
    return hints.made(event.id, event.type, thing.id, _uuid(reference), _at(event.created))


def _entry(line: objects.Books) -> Entry:
    source = line.source
    known = source if isinstance(source, objects.Source) else None
    intent = known.payment_intent if known is not None else None
    kind = _CATEGORIES.get(line.reporting_category, "other")
    own = known.id if known is not None else source if isinstance(source, str) else line.id
    return Entry(
        ext_id=line.id,
        kind=kind,  # pyright: ignore[reportArgumentType]
        source=intent if kind == "capture" and intent else own,
        parent=intent if kind in ("refund", "dispute", "dispute_won") else None,
        order_id=_uuid((known.metadata or {}).get("order")) if known is not None else None,
        gross_minor=line.amount,
        fee_minor=line.fee,
        net_minor=line.net,
        currency=line.currency.upper(),
        at=_at(line.created),
    )


def _known(table: Mapping[str, Status], word: str) -> Status:
    if word not in table:
        raise wire.nonsense("stripe status")
    return table[word]


def _id(thing: objects.Intent | str | None) -> str | None:
    return thing.id if isinstance(thing, objects.Intent) else thing


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
