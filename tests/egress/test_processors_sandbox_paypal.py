"""PayPal as the sandbox processor plays it: driven over HTTP, its webhooks checked by a verifier of the test's own."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import verification

from processors_sandbox import Catcher, Sandbox, running


@pytest.fixture(scope="module")
def catcher() -> Iterator[Catcher]:
    made = Catcher()
    yield made
    made.close()


@pytest.fixture(scope="module")
def sandbox(catcher: Catcher) -> Iterator[Sandbox]:
    with running(webhooks=catcher.url) as made:
        yield made


@pytest.fixture(scope="module")
def api(sandbox: Sandbox) -> Iterator[httpx.Client]:
    access = sandbox.access
    auth = (access.paypal_client_id, access.paypal_client_secret)
    told = sandbox.http.post("/v1/oauth2/token", auth=auth, data={"grant_type": "client_credentials"}).json()
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 32_400)
    with httpx.Client(base_url=access.url, headers={"authorization": f"Bearer {told['access_token']}"}) as client:
        yield client


def order_of(api: httpx.Client, value: str = "25.00", **more: Any) -> dict[str, Any]:
    context = {"return_url": "http://127.0.0.1:1/back?a=1", "cancel_url": "http://127.0.0.1:1/no"}
    body = {
        "intent": "CAPTURE",
        "purchase_units": [{"custom_id": "order", "amount": {"currency_code": "USD", "value": value}, **more}],
        "payment_source": {"paypal": {"experience_context": context}},
    }
    made = api.post("/v2/checkout/orders", json=body, headers={"paypal-request-id": uuid4().hex})
    assert made.status_code == 201, made.text
    return made.json()


def approved(sandbox: Sandbox, api: httpx.Client, value: str = "25.00", funding: str = "pays") -> str:
    order = order_of(api, value)
    way = next(one["href"] for one in order["links"] if one["rel"] == "payer-action")
    back = sandbox.http.post(way, data={"answer": "approve", "funding": funding})
    assert back.headers["location"] == f"http://127.0.0.1:1/back?a=1&token={order['id']}&PayerID=SANDBOXBUYER1"
    return order["id"]


def captured(sandbox: Sandbox, api: httpx.Client, value: str = "25.00", funding: str = "pays") -> dict[str, Any]:
    done = api.post(f"/v2/checkout/orders/{approved(sandbox, api, value, funding)}/capture", json={})
    assert done.status_code == 201, done.text
    return done.json()["purchase_units"][0]["payments"]["captures"][0]


def issue(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["details"][0]["issue"]


def test_an_order_from_page_to_money(sandbox: Sandbox, api: httpx.Client) -> None:
    id_ = approved(sandbox, api)
    read = api.get(f"/v2/checkout/orders/{id_}").json()
    assert (read["status"], read["purchase_units"][0]["payee"]["merchant_id"]) == ("APPROVED", "RUXASANDBOX01")
    done = api.post(f"/v2/checkout/orders/{id_}/capture", json={}, headers={"prefer": "return=representation"}).json()
    assert (done["status"], done["intent"]) == ("COMPLETED", "CAPTURE")
    assert issue(api.post(f"/v2/checkout/orders/{id_}/capture", json={})) == (422, "ORDER_ALREADY_CAPTURED")
    capture = done["purchase_units"][0]["payments"]["captures"][0]
    assert capture["seller_receivable_breakdown"]["paypal_fee"]["value"] == "1.36"
    assert capture["seller_receivable_breakdown"]["net_amount"]["value"] == "23.64"
    alone = api.get(f"/v2/payments/captures/{capture['id']}").json()
    assert alone["supplementary_data"]["related_ids"]["order_id"] == id_
    assert "_cents" not in json.dumps(alone)


def test_a_payer_may_cancel_or_be_declined(sandbox: Sandbox, api: httpx.Client) -> None:
    order = order_of(api)
    way = next(one["href"] for one in order["links"] if one["rel"] == "payer-action")
    assert sandbox.http.post(way, data={"answer": "cancel"}).headers["location"].startswith("http://127.0.0.1:1/no?")
    assert issue(api.post(f"/v2/checkout/orders/{order['id']}/capture", json={})) == (422, "ORDER_NOT_APPROVED")
    poor = approved(sandbox, api, funding="declined")
    assert issue(api.post(f"/v2/checkout/orders/{poor}/capture", json={})) == (422, "INSTRUMENT_DECLINED")
    mocked = {"paypal-request-id": uuid4().hex, "paypal-mock-response": '{"mock_application_codes":"PAYEE_BLOCKED"}'}
    id_ = approved(sandbox, api)
    assert issue(api.post(f"/v2/checkout/orders/{id_}/capture", json={}, headers=mocked)) == (422, "PAYEE_BLOCKED")


def test_a_pending_capture_completes_or_is_denied(sandbox: Sandbox, api: httpx.Client) -> None:
    for end, status in (("succeeded", "COMPLETED"), ("failed", "DECLINED")):
        capture = captured(sandbox, api, funding="pending")
        assert (capture["status"], capture["status_details"]["reason"]) == ("PENDING", "ECHECK")
        refund = api.post(f"/v2/payments/captures/{capture['id']}/refund", json={})
        assert issue(refund) == (422, "CAPTURE_STATUS_NOT_VALID")
        sandbox.control("settle", id=capture["id"], end=end)
        assert api.get(f"/v2/payments/captures/{capture['id']}").json()["status"] == status


def test_a_pending_capture_completes_in_time(sandbox: Sandbox, api: httpx.Client) -> None:
    capture = captured(sandbox, api, funding="pending")
    sandbox.control("clock", shift_s=10)
    try:
        assert api.get(f"/v2/payments/captures/{capture['id']}").json()["status"] == "COMPLETED"
    finally:
        sandbox.control("clock", shift_s=-10)


def test_an_account_is_kept_and_charged_later(sandbox: Sandbox, api: httpx.Client) -> None:
    def kept(funding: str) -> dict[str, Any]:
        amount = {"currency_code": "USD", "value": "25.00"}
        vault = {"store_in_vault": "ON_SUCCESS", "usage_type": "MERCHANT"}
        context = {"return_url": "http://127.0.0.1:1/back", "cancel_url": "http://127.0.0.1:1/no"}
        source = {"paypal": {"attributes": {"vault": vault}, "experience_context": context}}
        body = {"intent": "CAPTURE", "purchase_units": [{"amount": amount}], "payment_source": source}
        order = api.post("/v2/checkout/orders", json=body).json()
        way = next(one["href"] for one in order["links"] if one["rel"] == "payer-action")
        assert "This account is kept" in sandbox.http.get(way).text
        sandbox.http.post(way, data={"answer": "approve", "funding": funding})
        done = api.post(f"/v2/checkout/orders/{order['id']}/capture", json={}).json()
        return done["payment_source"]["paypal"]["attributes"]["vault"]

    def charge(vault: dict[str, Any]) -> httpx.Response:
        amount = {"currency_code": "USD", "value": "5.00"}
        source = {"paypal": {"vault_id": vault["id"]}}
        body = {"intent": "CAPTURE", "purchase_units": [{"amount": amount}], "payment_source": source}
        return api.post("/v2/checkout/orders", json=body, headers={"paypal-request-id": uuid4().hex})

    good = kept("pays")
    assert good["status"] == "VAULTED"
    paid = charge(good).json()
    assert paid["status"] == "COMPLETED"
    assert paid["purchase_units"][0]["payments"]["captures"][0]["amount"]["value"] == "5.00"
    assert issue(charge(kept("later_declined"))) == (422, "INSTRUMENT_DECLINED")
    asks = charge(kept("later_asks")).json()
    assert (asks["status"], asks["links"][1]["rel"]) == ("PAYER_ACTION_REQUIRED", "payer-action")
    path = f"/v3/vault/payment-tokens/{good['id']}"
    assert api.get(path).json()["customer"] == good["customer"]
    listed = api.get("/v3/vault/payment-tokens", params={"customer_id": good["customer"]["id"]}).json()
    assert [one["id"] for one in listed["payment_tokens"]] == [good["id"]]
    assert api.delete(path).status_code == 204
    assert issue(charge(good)) == (422, "TOKEN_ID_NOT_FOUND")


def test_refunds(sandbox: Sandbox, api: httpx.Client) -> None:
    path = f"/v2/payments/captures/{captured(sandbox, api)['id']}"
    key = {"paypal-request-id": uuid4().hex}
    ten = {"amount": {"currency_code": "USD", "value": "10.00"}}
    one = api.post(f"{path}/refund", json=ten, headers=key)
    again = api.post(f"{path}/refund", json=ten, headers=key)
    assert (one.status_code, again.status_code, one.json()) == (201, 201, again.json())
    other = api.post(f"{path}/refund", json={"amount": {"currency_code": "USD", "value": "11.00"}}, headers=key)
    assert issue(other) == (422, "DUPLICATE_REQUEST_ID")
    assert api.get(path).json()["status"] == "PARTIALLY_REFUNDED"
    much = {"amount": {"currency_code": "USD", "value": "15.01"}}
    assert issue(api.post(f"{path}/refund", json=much)) == (422, "REFUND_AMOUNT_EXCEEDED")
    rest = api.post(f"{path}/refund", json={}, headers={"prefer": "return=representation"}).json()
    assert (rest["status"], rest["amount"]["value"]) == ("COMPLETED", "15.00")
    assert issue(api.post(f"{path}/refund", json={})) == (422, "CAPTURE_FULLY_REFUNDED")
    read = api.get(f"/v2/payments/refunds/{rest['id']}").json()
    assert read["seller_payable_breakdown"]["total_refunded_amount"]["value"] == "25.00"
    order = api.get(read["links"][1]["href"]).json()["supplementary_data"]["related_ids"]["order_id"]
    payments = api.get(f"/v2/checkout/orders/{order}").json()["purchase_units"][0]["payments"]
    assert [one["amount"]["value"] for one in payments["refunds"]] == ["15.00", "10.00"]


def test_disputes(sandbox: Sandbox, api: httpx.Client) -> None:
    capture = captured(sandbox, api)
    id_ = sandbox.control("dispute", id=capture["id"])["dispute_id"]
    listed = api.get("/v1/customer/disputes", params={"disputed_transaction_id": capture["id"]}).json()["items"]
    assert [(one["dispute_id"], one["status"]) for one in listed] == [(id_, "WAITING_FOR_SELLER_RESPONSE")]
    whole = api.get(f"/v1/customer/disputes/{id_}").json()
    assert whole["disputed_transactions"][0]["seller_transaction_id"] == capture["id"]
    refused = api.post(f"/v2/payments/captures/{capture['id']}/refund", json={})
    assert refused.status_code == 422
    evidence = {"evidences": [{"evidence_type": "OTHER", "notes": "they used it"}]}
    parts = {"input": (None, json.dumps(evidence), "application/json")}
    assert api.post(f"/v1/customer/disputes/{id_}/provide-evidence", files=parts).status_code == 200
    assert api.get(f"/v1/customer/disputes/{id_}").json()["dispute_state"] == "UNDER_PAYPAL_REVIEW"
    sandbox.control("dispute/close", id=id_, end="won")
    outcome = api.get(f"/v1/customer/disputes/{id_}").json()["dispute_outcome"]
    assert outcome["outcome_code"] == "RESOLVED_SELLER_FAVOUR"
    lost = sandbox.control("dispute", id=capture["id"])["dispute_id"]
    assert api.post(f"/v1/customer/disputes/{lost}/accept-claim", json={"note": "ok"}).status_code == 200
    assert api.get(f"/v1/customer/disputes/{lost}").json()["dispute_outcome"]["amount_refunded"]["value"] == "25.00"
    first = api.get("/v1/customer/disputes", params={"page_size": 1}).json()
    following = next(one["href"] for one in first["links"] if one["rel"] == "next")
    assert api.get(following).json()["items"][0]["dispute_id"] != first["items"][0]["dispute_id"]


def test_the_report_adds_up(sandbox: Sandbox, api: httpx.Client) -> None:
    capture = captured(sandbox, api, "100.00")
    api.post(
        f"/v2/payments/captures/{capture['id']}/refund", json={"amount": {"currency_code": "USD", "value": "1.00"}}
    )
    id_ = sandbox.control("dispute", id=capture["id"])["dispute_id"]
    sandbox.control("dispute/close", id=id_, end="lost")
    captured(sandbox, api, "500.00")
    sandbox.control("payout", vendor="paypal", amount=100)
    now = datetime.now(UTC)
    span = {
        "start_date": (now - timedelta(days=1)).isoformat(timespec="seconds"),
        "end_date": (now + timedelta(minutes=1)).isoformat(timespec="seconds"),
        "fields": "all",
        "page_size": "500",
    }
    told = api.get("/v1/reporting/transactions", params=span).json()
    lines = [one["transaction_info"] for one in told["transaction_details"]]
    about = capture["id"]
    mine = [one for one in lines if about in (one["transaction_id"], one.get("paypal_reference_id"))]
    assert [(one["transaction_event_code"], one["transaction_amount"]["value"]) for one in mine] == [
        ("T0006", "100.00"),
        ("T1107", "-1.00"),
        ("T1201", "-99.00"),
        ("T0106", "-15.00"),
    ]
    assert mine[0]["fee_amount"]["value"] == "-3.98"
    assert "T0403" in [one["transaction_event_code"] for one in lines]
    assert told["total_items"] == len(lines)
    long = api.get("/v1/reporting/transactions", params={**span, "start_date": "2020-01-01T00:00:00Z"})
    assert long.status_code == 400


def verified(sandbox: Sandbox, headers: dict[str, str], body: bytes) -> None:
    """What PayPal tells receivers to do, written here once more. Raises when the webhook is not genuine."""
    access = sandbox.access
    url = headers["paypal-cert-url"]
    assert url.startswith(access.url + "/v1/notifications/certs/")
    root = x509.load_pem_x509_certificate(sandbox.http.get(access.paypal_root_url).content)
    leaf = x509.load_pem_x509_certificate(sandbox.http.get(url).content)
    store = verification.PolicyBuilder().store(verification.Store([root]))
    store.build_server_verifier(x509.DNSName("messageverificationcerts.sandbox.paypal.com")).verify(leaf, [])
    assert headers["paypal-auth-algo"] == "SHA256withRSA"
    sent = datetime.fromisoformat(headers["paypal-transmission-time"].replace("Z", "+00:00"))
    assert abs(datetime.now(UTC) - sent) < timedelta(seconds=300)
    parts = [headers["paypal-transmission-id"], headers["paypal-transmission-time"], access.paypal_webhook_id]
    text = "|".join([*parts, str(zlib.crc32(body))]).encode()
    key = leaf.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(base64.b64decode(headers["paypal-transmission-sig"]), text, padding.PKCS1v15(), hashes.SHA256())


def sent_since(catcher: Catcher, count: int) -> list[tuple[dict[str, str], bytes]]:
    return [(headers, body) for path, headers, body in catcher.caught[count:] if path == "/paypal"]


def test_webhooks_are_signed_and_forgeries_are_not(sandbox: Sandbox, api: httpx.Client, catcher: Catcher) -> None:
    captured(sandbox, api)
    sandbox.calm()
    before = len(catcher.caught)
    order = {"vendor": "paypal", "kind": "PAYMENT.CAPTURE.COMPLETED"}
    sandbox.control("webhooks", **order)
    sandbox.calm()
    headers, body = sent_since(catcher, before)[-1]
    verified(sandbox, headers, body)
    asked = {
        "auth_algo": headers["paypal-auth-algo"],
        "cert_url": headers["paypal-cert-url"],
        "transmission_id": headers["paypal-transmission-id"],
        "transmission_sig": headers["paypal-transmission-sig"],
        "transmission_time": headers["paypal-transmission-time"],
        "webhook_id": sandbox.access.paypal_webhook_id,
    }

    def judged(event: bytes) -> str:
        raw = json.dumps(asked).encode()[:-1] + b',"webhook_event":' + event + b"}"
        content = {"content-type": "application/json"}
        told = api.post("/v1/notifications/verify-webhook-signature", content=raw, headers=content)
        return told.json()["verification_status"]

    assert judged(body) == "SUCCESS"
    assert judged(body.replace(b"25.00", b"26.00")) == "FAILURE"
    for forgery in (
        "other_webhook",
        "changed_body",
        "stale",
        "future",
        "other_root",
        "lookalike_host",
        "no_headers",
        "other_algorithm",
    ):
        count = len(catcher.caught)
        sandbox.control("webhooks", **order, forge=forgery)
        sandbox.calm()
        headers, forged = sent_since(catcher, count)[-1]
        with pytest.raises(Exception):  # noqa: B017, PT011 - each is refused by another step
            verified(sandbox, headers, forged)


def test_a_lie_with_the_same_crc_passes_the_signature(sandbox: Sandbox, api: httpx.Client, catcher: Catcher) -> None:
    """Why nothing of a PayPal webhook's body may be believed."""
    capture = captured(sandbox, api)
    sandbox.calm()
    count = len(catcher.caught)
    sandbox.control("webhooks", vendor="paypal", kind="PAYMENT.CAPTURE.COMPLETED", forge="same_crc")
    sandbox.calm()
    headers, body = sent_since(catcher, count)[-1]
    verified(sandbox, headers, body)
    event = json.loads(body)
    assert (event["resource"]["id"], event["resource"]["amount"]["value"]) == (capture["id"], "9999.00")


def test_a_transmission_is_repeated(sandbox: Sandbox, api: httpx.Client, catcher: Catcher) -> None:
    captured(sandbox, api)
    sandbox.calm()
    count = len(catcher.caught)
    order = {"vendor": "paypal", "kind": "PAYMENT.CAPTURE.COMPLETED"}
    sandbox.control("webhooks", **order, forge="repeated", times=2)
    sandbox.calm()
    sandbox.control("webhooks", **order)
    sandbox.calm()
    ids = [headers["paypal-transmission-id"] for headers, _ in sent_since(catcher, count)]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] in [
        headers["paypal-transmission-id"]
        for _, headers, _ in catcher.caught[:count]
        if headers.get("paypal-transmission-id")
    ]


def test_webhooks_are_kept_listed_and_sent_again(sandbox: Sandbox, api: httpx.Client, catcher: Catcher) -> None:
    own = {"url": f"{catcher.url}/mine", "event_types": [{"name": "PAYMENT.CAPTURE.REFUNDED"}]}
    made = api.post("/v1/notifications/webhooks", json=own).json()
    assert made["id"] in [one["id"] for one in api.get("/v1/notifications/webhooks").json()["webhooks"]]
    capture = captured(sandbox, api)
    api.post(f"/v2/payments/captures/{capture['id']}/refund", json={})
    sandbox.calm()
    assert [path for path, _, _ in catcher.caught].count("/mine") == 1
    query = {"event_type": "PAYMENT.CAPTURE.REFUNDED", "page_size": 1}
    events = api.get("/v1/notifications/webhooks-events", params=query).json()["events"]
    assert api.get(f"/v1/notifications/webhooks-events/{events[0]['id']}").json() == events[0]
    assert api.post(f"/v1/notifications/webhooks-events/{events[0]['id']}/resend", json={}).status_code == 202
    sandbox.calm()
    assert [path for path, _, _ in catcher.caught].count("/mine") == 2
    assert api.delete(f"/v1/notifications/webhooks/{made['id']}").status_code == 204
    assert api.get(f"/v1/notifications/webhooks/{made['id']}").status_code == 404


def test_bad_requests(sandbox: Sandbox, api: httpx.Client) -> None:
    def made(**changed: Any) -> httpx.Response:
        amount = {"currency_code": "USD", "value": "25.00", **changed}
        return api.post("/v2/checkout/orders", json={"intent": "CAPTURE", "purchase_units": [{"amount": amount}]})

    assert issue(made(value="25.001")) == (422, "DECIMAL_PRECISION")
    assert issue(made(value="-1.00")) == (422, "DECIMAL_PRECISION")
    assert issue(made(value="0.00")) == (422, "CANNOT_BE_ZERO_OR_NEGATIVE")
    assert issue(made(currency_code="EUR")) == (422, "CURRENCY_NOT_SUPPORTED")
    assert issue(made(breakdown={"item_total": {"currency_code": "USD", "value": "24.00"}})) == (422, "AMOUNT_MISMATCH")
    assert made().json()["status"] == "CREATED"
    json_type = {"content-type": "application/json"}
    assert issue(api.post("/v2/checkout/orders", content=b"{", headers=json_type)) == (400, "MALFORMED_REQUEST_JSON")
    assert api.post("/v2/checkout/orders", content=b"a=b").status_code == 415
    assert issue(api.get("/v2/payments/captures/NONE")) == (404, "INVALID_RESOURCE_ID")
    assert sandbox.http.get("/v2/checkout/orders/NONE").json()["name"] == "AUTHENTICATION_FAILURE"
    wrong = sandbox.http.post("/v1/oauth2/token", auth=("a", "b"), data={"grant_type": "client_credentials"})
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
