"""Webhooks of processors: genuine ones become hints; everything an attacker could send is refused, for the reason."""

from __future__ import annotations

import hashlib
import hmac
import ssl
import zlib
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from payment_tills import Till, made_once, till
from ruxa.egress.processor import WebhookRefused
from ruxa.egress.processors import paypal_signature, stripe_signature
from ruxa.egress.processors.sandbox import forge, paypal_trust
from ruxa.egress.processors.sandbox.paypal_api import stamp
from ruxa.kernel import bounds
from ruxa.kernel.clock import Clock
from ruxa.kernel.errors import InvalidCall, UpstreamBusy

Json = dict[str, Any]
ORDER = UUID("0192f0c0-0000-7000-8000-000000000001")
CARD = "4242424242424242"


@pytest.fixture
async def house() -> AsyncGenerator[Till]:
    async with till() as made:
        yield made


def trust(name: str) -> paypal_trust.Trust:
    """A root and a signer."""
    kept = made_once(name)
    return paypal_trust.Trust(kept["root"], kept["certificate"], kept["key"])


def stripe_event(**changes: Any) -> Json:
    """An event as Stripe writes it, with much that is none of our business."""
    thing = {
        "id": "cs_test_a1B2c3",
        "object": "checkout.session",
        "client_reference_id": str(ORDER),
        "amount_total": 1000,
        "customer_details": {"email": "payer@example.com", "name": "Pat Payer"},
    }
    event = {
        "id": "evt_1AbCdEf",
        "object": "event",
        "type": "checkout.session.completed",
        "created": 1_790_000_000,
        "livemode": False,
        "pending_webhooks": 1,
        "data": {"object": thing},
    }
    return event | changes


def paypal_event(**changes: Any) -> Json:
    """An event as PayPal writes it."""
    event = {
        "id": "WH-2WR32451HC0233532-67976317FL4543714",
        "event_type": "PAYMENT.CAPTURE.COMPLETED",
        "create_time": "2026-11-24T12:00:00Z",
        "resource_type": "capture",
        "resource": {
            "id": "3C679366HH908993F",
            "amount": {"currency_code": "USD", "value": "5.00"},
            "custom_id": str(ORDER),
            "payer": {"email_address": "payer@example.com"},
        },
    }
    return event | changes


def signed(house: Till, body: bytes, *, at: datetime | None = None) -> dict[str, str]:
    at = at or house.clock.now()
    return forge.stripe_headers(house.sandbox.access.stripe_webhook_secret, body, int(at.timestamp()))


def transmitted(house: Till, body: bytes, *, at: datetime | None = None, transmission: str = "") -> dict[str, str]:
    time = stamp(int((at or house.clock.now()).timestamp()))
    books = house.sandbox.books
    webhook = house.sandbox.access.paypal_webhook_id
    return paypal_trust.headers(books, webhook, transmission or str(uuid4()), time, body)


async def stripe_refusal(house: Till, headers: dict[str, str], body: bytes) -> WebhookRefused:
    with pytest.raises(WebhookRefused) as refused:
        await house.stripe.verify(headers, body, house.clock.now())
    return refused.value


async def paypal_refusal(house: Till, headers: dict[str, str], body: bytes, **changes: Any) -> WebhookRefused:
    with pytest.raises(WebhookRefused) as refused:
        await house.another_paypal(**changes).verify(headers, body, house.clock.now())
    return refused.value


# --- Stripe


async def test_a_genuine_stripe_webhook_says_where_to_look_and_nothing_else(house: Till) -> None:
    body = msgspec.json.encode(stripe_event())
    hint = await house.stripe.verify(signed(house, body), body, house.clock.now())
    assert (hint.event_id, hint.kind, hint.ext_id) == ("evt_1AbCdEf", "checkout.session.completed", "cs_test_a1B2c3")
    assert hint.order_id == ORDER
    assert b"example" not in msgspec.json.encode(hint)
    assert hint.at.year == 2026


@pytest.mark.parametrize("kind", forge.STRIPE)
async def test_every_stripe_forgery_is_refused(house: Till, kind: str) -> None:
    body = msgspec.json.encode(stripe_event())
    now = int(house.clock.now().timestamp())
    headers, sent = forge.stripe(kind, house.sandbox.access.stripe_webhook_secret, body, now)
    refusal = await stripe_refusal(house, headers, sent)
    expected = {
        "other_secret": ("webhook_forged", 401),
        "changed_body": ("webhook_forged", 401),
        "stale": ("webhook_stale", 401),
        "future": ("webhook_stale", 401),
    }.get(kind, ("webhook_malformed", 400))
    assert (refusal.code, refusal.status) == expected


@pytest.mark.parametrize(("offset_s", "good"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
async def test_time_is_bounded_both_ways_to_the_second(house: Till, offset_s: int, good: bool) -> None:
    body = msgspec.json.encode(stripe_event())
    now = house.clock.now().replace(microsecond=0)
    headers = signed(house, body, at=now + timedelta(seconds=offset_s))
    if good:
        assert (await house.stripe.verify(headers, body, now)).event_id
    else:
        with pytest.raises(WebhookRefused) as refused:
            await house.stripe.verify(headers, body, now)
        assert refused.value.code == "webhook_stale"


def test_each_of_several_secrets_is_accepted_while_they_are_rolled_over() -> None:
    now = datetime.fromisoformat("2026-11-24T12:00:00+00:00")
    time = int(now.timestamp())

    def mark(secret: str) -> str:
        return hmac.new(secret.encode(), f"{time}.".encode() + b"{}", hashlib.sha256).hexdigest()

    for header in (
        f"t={time},v1={mark('new')}",
        f"t={time},v1={'0' * 64},v1={mark('old')}",
        f"v1={mark('old')}, t={time}",
    ):
        stripe_signature.check(header, b"{}", ("new", "old"), now)
    for header in (
        f"t={time},v1={mark('third')}",
        f"t={time},v0={mark('new')}",
        f"t={time},t={time},v1={mark('new')}",
        f"t=-{time},v1={mark('new')}",
        f"t={time}," + ",".join([f"v1={mark('new')}"] * 17),
        f"t={time},v1={mark('new')}" + " " * 5000,
    ):
        with pytest.raises(WebhookRefused):
            stripe_signature.check(header, b"{}", ("new", "old"), now)
    with pytest.raises(WebhookRefused):
        stripe_signature.check(f"t={time},v1={mark('')}", b"{}", (), now)


@pytest.mark.parametrize(
    ("changes", "code", "status"),
    [
        ({"livemode": True}, "webhook_mode", 403),
        ({"account": "acct_other"}, "webhook_foreign", 403),
        ({"id": CARD}, "webhook_malformed", 400),
        ({"type": f"card.{CARD}"}, "webhook_malformed", 400),
        ({"id": "evt_1 or 1=1"}, "webhook_malformed", 400),
        ({"data": {}}, "webhook_malformed", 400),
        ({"data": {"object": {"id": "pi_" + "x" * 300}}}, "webhook_malformed", 400),
        ({"data": {"object": {"id": f"pi_{CARD}"}}}, "webhook_malformed", 400),
        ({"created": "yesterday"}, "webhook_malformed", 400),
    ],
)
async def test_a_signed_body_that_is_not_ours_is_refused(house: Till, changes: Json, code: str, status: int) -> None:
    body = msgspec.json.encode(stripe_event(**changes))
    refusal = await stripe_refusal(house, signed(house, body), body)
    assert (refusal.code, refusal.status) == (code, status)
    assert CARD not in f"{refusal} {refusal.public} {refusal.detail}"


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"{}", b'{"id":1}'])
async def test_a_signed_body_that_is_none_is_refused(house: Till, body: bytes) -> None:
    assert (await stripe_refusal(house, signed(house, body), body)).code == "webhook_malformed"
    assert (await paypal_refusal(house, transmitted(house, body), body)).code == "webhook_malformed"


# --- PayPal


async def test_a_genuine_paypal_webhook_says_where_to_look_and_nothing_else(house: Till) -> None:
    body = msgspec.json.encode(paypal_event())
    headers = transmitted(house, body)
    hint = await house.paypal.verify(headers, body, house.clock.now())
    assert hint.event_id == headers["paypal-transmission-id"]  # what must not come twice
    assert (hint.kind, hint.ext_id) == ("PAYMENT.CAPTURE.COMPLETED", "3C679366HH908993F")
    assert hint.order_id == ORDER
    assert b"example" not in msgspec.json.encode(hint)


@pytest.mark.parametrize("kind", [one for one in forge.PAYPAL if one not in ("repeated", "same_crc")])
@pytest.mark.parametrize("check", ["signature", "api"])
async def test_every_paypal_forgery_is_refused(house: Till, kind: str, check: str) -> None:
    body = msgspec.json.encode(paypal_event())
    secrets = house.sandbox.access
    house.sandbox.tell(None, "http://127.0.0.1:1/webhooks/paypal")  # the webhook that its API knows
    headers, sent = forge.paypal(house.sandbox.books, kind, secrets.paypal_webhook_id, str(uuid4()), body)
    refusal = await paypal_refusal(house, headers, sent, webhook_check=check)
    expected = {"stale": "webhook_stale", "future": "webhook_stale", "no_headers": "webhook_malformed"}
    assert refusal.code == expected.get(kind, "webhook_forged")


async def test_a_body_with_the_same_crc_passes_and_is_worth_no_more_than_a_place_to_look(house: Till) -> None:
    body = msgspec.json.encode(paypal_event())
    transmission = str(uuid4())
    headers = transmitted(house, body, transmission=transmission)
    lie = forge.same_crc(body)
    assert zlib.crc32(lie) == zlib.crc32(body)
    assert b"9999.00" in lie
    first = await house.paypal.verify(headers, body, house.clock.now())
    second = await house.paypal.verify(headers, lie, house.clock.now())
    # The same transmission: whoever keeps hints takes it once. And nothing of the lie is in it.
    assert first.event_id == second.event_id == transmission
    assert b"9999" not in msgspec.json.encode(second)


async def test_paypals_own_word_is_asked_byte_for_byte(house: Till) -> None:
    house.sandbox.tell(None, "http://127.0.0.1:1/webhooks/paypal")
    body = msgspec.json.format(msgspec.json.encode(paypal_event(summary="Zahlung über 5,00 $")), indent=3)
    asks = house.another_paypal(webhook_check="api")
    assert (await asks.verify(transmitted(house, body), body, house.clock.now())).ext_id == "3C679366HH908993F"


async def test_whoever_floods_us_costs_paypal_little(house: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "WEBHOOK_QUESTIONS_PER_MINUTE", 2)
    house.sandbox.tell(None, "http://127.0.0.1:1/webhooks/paypal")
    asks = house.another_paypal(webhook_check="api")
    body = msgspec.json.encode(paypal_event())
    headers = transmitted(house, body)
    for _ in range(2):
        with pytest.raises(WebhookRefused):
            await asks.verify(headers | {"paypal-transmission-sig": "AAAA"}, body, house.clock.now())
    with pytest.raises(UpstreamBusy) as busy:
        await asks.verify(headers, body, house.clock.now())
    assert busy.value.code == "webhooks_exhausted"


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/v1/notifications/certs/CERT-1",
        "{base}.evil.example/v1/notifications/certs/CERT-1",
        "{base}@evil.example/v1/notifications/certs/CERT-1",
        "{base}/v1/notifications/certs/../../../evil",
        "{base}/v1/notifications/certs/%2e%2e/evil",
        "{base}/v1/notifications/certs/CERT-1?to=evil",
        "{base}/v1/notifications/certs//evil.example",
        "{base}/elsewhere/CERT-1",
        "{BASE}/v1/notifications/certs/CERT-1",
        "https:{rest}/v1/notifications/certs/CERT-1",
        "/v1/notifications/certs/CERT-1",
        "",
    ],
)
def test_a_certificate_comes_from_the_processors_own_host_exactly(url: str) -> None:
    base = "http://127.0.0.1:4711"
    given = url.replace("{base}", base).replace("{BASE}", base.upper()).replace("{rest}", base.partition(":")[2])
    with pytest.raises(WebhookRefused):
        paypal_signature.target(given, base)
    good = "/v1/notifications/certs/CERT-360caa42-fca2a594-ad47cba6"
    assert paypal_signature.target(base + good, base) == good


def test_only_the_signers_name_under_a_pinned_root_in_its_time_is_believed() -> None:
    from cryptography import x509

    now = Clock().now()
    good, other = (trust(name) for name in ("paypal", "other"))
    alike = paypal_trust.make(now, "messageverificationcerts.sandbox.paypal.com.evil.example")
    roots = x509.load_pem_x509_certificates(good.root.encode())
    name = paypal_signature.SANDBOX_SIGNER
    assert paypal_signature.signer(good.certificate.encode(), roots, name, now)
    for pem, who, trusted, at in (
        (good.certificate, paypal_signature.SIGNER, roots, now),
        (other.certificate, name, roots, now),
        (alike.certificate, name, x509.load_pem_x509_certificates(alike.root.encode()), now),
        (good.certificate, name, roots, now + timedelta(days=400)),
        (good.certificate, name, roots, now - timedelta(days=2)),
        (good.root, name, roots, now),
        (good.certificate + other.root * 6, name, roots, now),
        ("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", name, roots, now),
        ("", name, roots, now),
    ):
        with pytest.raises(WebhookRefused):
            paypal_signature.signer(pem.encode(), trusted, who, at)


def test_the_systems_roots_of_paypals_authority_are_pinned_or_a_file_is(tmp_path: Any) -> None:
    system = len(ssl.create_default_context().get_ca_certs())
    assert 0 < len(paypal_signature.pinned(None)) < system
    file = tmp_path / "roots.pem"
    file.write_text(trust("paypal").root)
    assert len(paypal_signature.pinned(file)) == 1
    for wrong in (tmp_path / "nothing.pem", tmp_path):
        with pytest.raises(InvalidCall):
            paypal_signature.pinned(wrong)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"id": CARD, "event_type": CARD}, "webhook_malformed"),
        ({"resource": {"id": CARD}}, "webhook_malformed"),
        ({"resource": {"id": "../../v1/refunds"}}, "webhook_malformed"),
        ({"resource": {}}, "webhook_malformed"),
        ({"create_time": "yesterday"}, "webhook_malformed"),
        ({"resource": {"id": "3C679366HH908993F", "payee": {"merchant_id": "OTHER"}}}, "webhook_foreign"),
    ],
)
async def test_a_signed_paypal_body_that_is_not_ours_is_refused(house: Till, changes: Json, code: str) -> None:
    body = msgspec.json.encode(paypal_event(**changes))
    refusal = await paypal_refusal(house, transmitted(house, body), body, account="RUXASANDBOX01")
    assert refusal.code == code
    assert CARD not in f"{refusal} {refusal.public} {refusal.detail}"


async def test_a_signers_certificate_is_fetched_once(house: Till) -> None:
    asked: list[str] = []
    serve = house.sandbox.listener.serve

    async def hear(call: Any) -> Any:
        asked.append(call.path)
        return await serve(call)

    house.sandbox.listener.serve = hear
    body = msgspec.json.encode(paypal_event())
    for _ in range(3):
        await house.paypal.verify(transmitted(house, body), body, house.clock.now())
    assert sorted(asked) == ["/_sandbox/paypal/root.pem", paypal_trust.CERTIFICATE_PATH]


async def test_who_names_unknown_certificates_makes_us_look_only_so_often(house: Till) -> None:
    body = msgspec.json.encode(paypal_event())
    headers = transmitted(house, body)
    for number in range(20):
        url = f"{house.sandbox.access.url}/v1/notifications/certs/CERT-{number}"
        refusal = await paypal_refusal_at(house, headers | {"paypal-cert-url": url}, body)
        assert refusal == "webhook_forged"
    url = f"{house.sandbox.access.url}/v1/notifications/certs/CERT-20"
    assert await paypal_refusal_at(house, headers | {"paypal-cert-url": url}, body) == "certificates_exhausted"


async def test_inventions_keep_no_certificate_from_us_that_signed_before(house: Till) -> None:
    till = house.paypal
    body = msgspec.json.encode(paypal_event())
    headers = transmitted(house, body)
    await till.verify(headers, body, house.clock.now())
    asked: list[str] = []
    serve = house.sandbox.listener.serve

    async def hear(call: Any) -> Any:
        asked.append(call.path)
        return await serve(call)

    house.sandbox.listener.serve = hear
    for number in range(25):
        url = f"{house.sandbox.access.url}/v1/notifications/certs/CERT-{number}"
        with pytest.raises((WebhookRefused, UpstreamBusy)):
            await till.verify(headers | {"paypal-cert-url": url}, body, house.clock.now())
    assert len(asked) == bounds.CERTIFICATE_LOOKS_PER_MINUTE - 1
    # Half a day later, when it is to be read again, and inventions go on.
    later = house.clock.now() + timedelta(hours=13)
    till._looks.extend([later] * bounds.CERTIFICATE_LOOKS_PER_MINUTE)  # pyright: ignore[reportPrivateUsage]
    body = msgspec.json.encode(paypal_event())
    await till.verify(transmitted(house, body, at=later), body, later)
    assert asked[-1] == paypal_trust.CERTIFICATE_PATH


async def paypal_refusal_at(house: Till, headers: dict[str, str], body: bytes) -> str:
    with pytest.raises((WebhookRefused, UpstreamBusy)) as refused:
        await house.paypal.verify(headers, body, house.clock.now())
    return refused.value.code
