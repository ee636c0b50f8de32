"""Staff's forms about money: disputes, freezes, quarantine, differences, credit taken back; who may, and its entry."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from books import Books
from fixtures_access import BASE_URL
from payment_books import Desk
from ruxa.access.roles import OF_STAFF_ROLE, StaffRole
from ruxa.console.page import Page
from ruxa.console.pages.books import page as books_page
from ruxa.console.pages.disputes import page as disputes_page
from ruxa.console.pages.organisation import page as organisation_page
from ruxa.console.pages.payment import page as payment_page
from ruxa.console.pages.plans import page as plans_page
from ruxa.console.pages.quarantine import page as quarantine_page
from ruxa.console.pages.reconciliation import page as reconciliation_page
from ruxa.console.pages.refunds_staff import page as refunds_page
from ruxa.console.pages.transfers import page as transfers_page
from ruxa.egress.processor import Entry
from ruxa.kernel import ids
from ruxa.ledger import plans
from ruxa.ledger.documents import issue
from ruxa.ledger.documents.seller import Seller, Terms
from ruxa.ledger.documents.tax import Untaxed
from ruxa.ledger.payments import disputes
from ruxa.ledger.reconciliation import differences

PAGES: tuple[Page, ...] = tuple(
    one.PAGE
    for one in (
        books_page, disputes_page, organisation_page, payment_page, plans_page, quarantine_page, reconciliation_page,
        refunds_page, transfers_page,
    )
)  # fmt: skip
SAME = {"origin": BASE_URL, "host": BASE_URL.removeprefix("http://"), "sec-fetch-site": "same-origin"}
ENTERED = ("member:signed_up", "member:verified", "member:signed_in", "organisation:created", "staff:added")
TERMS = Terms(seller=Seller(name="Ruxa Ltd", address=("1 Road",), country="GB"), engine=Untaxed())


@pytest.fixture
def console(house: Any, made_console: Any) -> Any:
    """A console whose operator issues invoices."""
    return made_console(house, terms=TERMS)


async def desk_of(console: Any, books: Books) -> tuple[Any, str, Desk]:
    """A customer's browser, their shown organisation, and their payments by card."""
    customer, _, organisation_id = await console.owner()
    ref = await console.ref(organisation_id)
    return customer, ids.text("org", organisation_id), Desk(books, ref, scope="sandbox")


def hidden(page: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="(\w+)"', page)
    assert found, name
    return found[1]


async def test_a_dispute_is_answered_once_and_stops_refunds_until_a_person_lifts_it(console: Any, books: Books) -> None:
    customer, shown, desk = await desk_of(console, books)
    order = await desk.order(9_000_000)
    await desk.capture(order)
    own, theirs = f"/billing/orders/order_{order.id.hex}", f"/staff/payments/order_{order.id.hex}"
    assert 'value="refund"' in (await customer.get(own)).text
    await desk.dispute(order, 900, "open")
    page = (await customer.get(own)).text
    assert 'value="refund"' not in page
    assert "While this payment is in dispute nothing of it can be refunded" in page
    wish = {"micros": 9_000_000, "reason": "x"}
    asked = await customer.api("POST", f"/api/v1/orders/order_{order.id.hex}/refunds", wish, status=409)
    assert asked.json()["error"]["type"] == "dispute_open"
    assert "Spending is stopped" in (await customer.get("/billing")).text
    one = await console.staff("finance")
    page = (await one.get(theirs)).text
    assert 'value="refund"' not in page
    assert "No refund while this payment is in dispute" in page
    page = (await one.get("/staff/disputes")).text
    dispute, freeze = hidden(page, "dispute"), hidden(page, "freeze")
    text = "They used it on 2026-11-24 with their own key."
    await one.post("/staff/disputes", "answer", 403, dispute=dispute, text=text, _csrf="wrong")
    assert "is needed" in (await one.post("/staff/disputes", "answer", 422, dispute=dispute)).text
    await one.post("/staff/disputes", "answer", 404, dispute="dsp_" + "0" * 32, text=text)
    async with books.worker.work() as work:
        assert await disputes.evidence_due(work) == []
    done = await one.post("/staff/disputes", "answer", dispute=dispute, text=text)
    assert done.headers["location"].endswith("done=dispute_answered")
    async with books.worker.work() as work:
        [due] = await disputes.evidence_due(work)
    assert due.evidence_sealed is not None
    assert text.encode() not in due.evidence_sealed, "sealed until it is sent"
    page = (await one.get("/staff/disputes")).text
    assert "Answer written" in page
    assert text not in page
    async with books.worker.work() as work:
        await disputes.evidence_sent(work, due.id)
    await one.post("/staff/disputes", "answer", 409, dispute=dispute, text="What was sent is sent")
    await one.post("/staff/disputes", "review", 403, freeze=freeze, decision="lift", _csrf="wrong")
    await one.post("/staff/disputes", "review", 422, freeze=freeze, decision="maybe")
    assert "Spending is stopped" in (await customer.get("/billing")).text
    await one.post("/staff/disputes", "review", freeze=freeze, decision="lift")
    assert "Spending is stopped" not in (await customer.get("/billing")).text
    assert 'name="freeze"' not in (await one.get("/staff/disputes")).text
    for asked in (f"order_{order.id.hex}", shown, order.reference, ""):
        assert dispute in (await one.get(f"/staff/disputes?find={asked}&status=open&as=json")).text
    for asked in ("find=RX-0000-0000", "status=won", f"find=order_{'0' * 32}"):
        assert "Nothing fits" in (await one.get(f"/staff/disputes?{asked}")).text
    assert (await one.get(f"/staff/disputes?before={dispute}&as=csv")).text.count("\n") == 2, "a file has all of it"
    acts = await console.acts()
    assert (acts.count("dispute:answered"), acts.count("freeze:reviewed")) == (1, 1)
    await books.prove()


async def test_quarantine_is_credited_or_set_aside_by_a_person(console: Any, books: Books) -> None:
    customer, _, desk = await desk_of(console, books)
    for ext_id, amount in (("ch_more", 950), ("ch_less", 850)):
        effect = await desk.capture(await desk.order(9_000_000), amount, ext_id)
        assert effect.outcome == "quarantined"
    one = await console.staff("finance")
    page = (await one.get("/staff/quarantine")).text
    rows = [row for row in page.split("<tr>") if "ch_" in row]
    shown = {re.findall(r'title="(\w+)"', row)[0]: hidden(row, "fact") for row in rows}
    assert shown.keys() == {"ch_more", "ch_less"}
    await one.post("/staff/quarantine", "accept", 403, fact=shown["ch_more"], _csrf=None)
    assert "0.00" in (await customer.get("/billing")).text
    await one.post("/staff/quarantine", "accept", fact=shown["ch_more"])
    assert "9.500000 exactly" in (await customer.get("/billing")).text
    await one.post("/staff/quarantine", "accept", 409, fact=shown["ch_more"])
    await one.post("/staff/quarantine", "dismiss", fact=shown["ch_less"])
    await one.post("/staff/quarantine", "accept", 409, fact=shown["ch_less"])
    assert "9.500000 exactly" in (await customer.get("/billing")).text
    assert "Nothing in quarantine" in (await one.get("/staff/quarantine")).text
    page = (await one.get("/staff/quarantine?state=accepted")).text
    assert "ch_more" in page
    assert 'name="fact"' not in page, "decided is decided"
    rows = (await one.get("/staff/quarantine?state=dismissed&processor=stripe&find=ch_less&as=json")).json()
    assert [(row["ext_id"], row["amount_micros"]) for row in rows] == [("ch_less", 8_500_000)]
    assert "Nothing fits" in (await one.get("/staff/quarantine?find=ch_more")).text
    acts = await console.acts()
    assert (acts.count("payment:accepted"), acts.count("payment:dismissed")) == (1, 1)
    await books.prove()


async def test_a_difference_is_owned_and_ended_on_the_page_and_by_the_api(console: Any, books: Books) -> None:
    today = datetime.now(UTC)
    lines = [
        Entry(
            ext_id=f"txn_{n}", kind="capture", source=f"ch_{n}", gross_minor=500, fee_minor=0, net_minor=500,
            currency="USD", at=today,
        )
        for n in range(2)
    ]  # fmt: skip
    async with books.worker.work() as work:
        ran = await differences.run(work, "stripe", today.date(), lines, scope="sandbox")
        assert ran.opened >= 2
    one, other = await console.staff("finance"), await console.staff("operator")
    page = (await one.get("/staff/reconciliation")).text
    assert "Missing here" in page
    found = (await one.api("GET", "/api/v1/staff/differences")).json()
    first, second = [each["id"] for each in found if each["kind"] == "missing_here"]
    await one.post("/staff/reconciliation", "take", 403, difference=first, _csrf="wrong")
    await one.post("/staff/reconciliation", "take", difference=first)
    assert ">You<" in (await one.get("/staff/reconciliation")).text.replace("\n", "")
    assert "Somebody else" in (await other.get("/staff/reconciliation")).text
    await one.post("/staff/reconciliation", "resolve", 422, difference=first, outcome="ignored")
    bad = {"difference": first, "outcome": "timing", "reference": "see <mail>"}
    assert (
        "Ticket or document: Up to 60 letters" in (await one.post("/staff/reconciliation", "resolve", 400, **bad)).text
    )
    await one.post("/staff/reconciliation", "resolve", difference=first, outcome="timing", reference="T-17")
    await other.api("POST", f"/api/v1/staff/differences/{second}/take", status=200)
    refused = await other.api("POST", f"/api/v1/staff/differences/{second}/resolve", {"outcome": "x"}, status=400)
    assert "outcome" in refused.text
    ended = await other.api(
        "POST", f"/api/v1/staff/differences/{second}/resolve", {"outcome": "accepted", "reference": "T-18"}
    )
    assert (ended.json()["state"], ended.json()["reference"]) == ("resolved", "T-18")
    await other.api("POST", f"/api/v1/staff/differences/{second}/take", status=409)
    await other.api("POST", "/api/v1/staff/differences/diff_" + "0" * 32 + "/take", status=404)
    left = {each["id"] for each in (await one.api("GET", "/api/v1/staff/differences")).json()}
    assert not {first, second} & left
    ended = (await one.api("GET", "/api/v1/staff/differences?status=resolved&processor=stripe")).json()
    assert {(each["id"], each["outcome"]) for each in ended} == {(first, "timing"), (second, "accepted")}
    compared = (await one.api("GET", "/api/v1/staff/reconciliation")).json()
    assert [(day["count_there"], day["there"], day["agrees"]) for day in compared["days"]] == [(2, 1000, False)]
    since = (today - timedelta(days=200)).date()
    await one.api("GET", f"/api/v1/staff/reconciliation?since={since}", status=400)
    acts = await console.acts()
    assert (acts.count("difference:taken"), acts.count("difference:resolved")) == (2, 2)
    auditor = await console.staff("auditor")
    await auditor.api("GET", "/api/v1/staff/differences")
    await auditor.api("POST", f"/api/v1/staff/differences/{first}/take", status=403)


async def test_credit_that_nobody_paid_for_is_taken_back_with_a_reason(console: Any, books: Books) -> None:
    customer, shown, desk = await desk_of(console, books)
    order = await desk.order(4_000_000)
    await desk.capture(order)
    path = f"/staff/organisations/{shown}"
    first, second = await console.staff("finance"), await console.staff("operator")
    await first.get(path)
    await first.post(path, "credit", usd="3", reason="Sorry", scope="sandbox")
    page = (await first.get(path)).text
    assert f"/staff/payments/order_{order.id.hex}" in page, "what was paid leads to its payment"
    [lot] = set(re.findall(r'name="lot" value="(lot_\w+)"', page))
    await first.post(path, "take_back", 403, lot=lot, why="x", _csrf="wrong")
    assert "is needed" in (await first.post(path, "take_back", 422, lot=lot)).text
    await first.post(path, "take_back", 404, lot="lot_" + "0" * 32, why="x")
    listed = (await first.api("GET", f"/api/v1{path}/credit")).json()
    [paid] = [one["id"] for one in listed if one["order"] == f"order_{order.id.hex}"]
    refused = await first.post(path, "take_back", 409, lot=paid, why="x")
    assert "refunded, not taken back" in refused.text
    done = await first.post(path, "take_back", lot=lot, why="Booked for the wrong customer")
    assert done.headers["location"].endswith("done=taken_back")
    assert "4.000000 exactly" in (await customer.get("/billing")).text
    await first.post(path, "take_back", 409, lot=lot, why="x")
    # Much real money, live: it waits, and the second person reads whose and why.
    async with books.admin() as admin:
        await admin.execute("INSERT INTO ruxa.instance (id, mode, simulated) VALUES (gen_random_uuid(), 'live', false)")
    given = {"micros": 2_000_000_000, "scope": "live", "reason": "Opening"}
    assert (await first.api("POST", f"/api/v1{path}/credit", given, status=201)).json()["waits"]
    page = (await second.get("/staff/books")).text
    assert "Reason: Opening" in page
    assert shown in page
    await second.post("/staff/books", "approve", wish=hidden(page, "wish"))
    [large] = [one["id"] for one in (await first.api("GET", f"/api/v1{path}/credit")).json() if one["scope"] == "live"]
    back = f"/api/v1{path}/credit/{large}/take-back"
    await first.api("POST", back, {"reason": " "}, status=400)
    waits = (await first.api("POST", back, {"reason": "Entered twice"})).json()
    assert (waits["moved_micros"], waits["waits"]) == (0, True)
    assert "Entered twice" not in (await (await console.staff("auditor")).get("/staff/books")).text
    page = (await second.get("/staff/books")).text
    assert "Credit taken back" in page
    assert "Reason: Entered twice" in page
    await first.get("/staff/books")
    await first.post("/staff/books", "approve", 409, wish=waits["id"])
    await second.post("/staff/books", "approve", wish=waits["id"])
    assert "4.000000 exactly" in (await customer.get("/billing")).text
    acts = await console.acts()
    assert (acts.count("credit:voided"), acts.count("wish:approved")) == (2, 2)
    await books.prove()


async def test_an_invoice_is_made_after_the_fact(console: Any, books: Books) -> None:
    customer, _, desk = await desk_of(console, books)
    orders = [await desk.order(5_000_000) for _ in range(2)]
    for number, order in enumerate(orders):
        await desk.capture(order, ext_id=f"ch_{number}")
        async with books.worker.work() as work:
            assert len(await issue.issue_for(work, console.house.vault, TERMS, order.id)) == 1, "a receipt alone"
    path = f"/billing/orders/order_{orders[0].id.hex}"
    page = (await customer.get(path)).text
    assert "Write your billing details first" in page
    assert 'value="invoice"' not in page
    refused = await customer.post(path, "invoice", 409)
    assert "An invoice needs a name and an address" in refused.text
    details = {"name": "Fernhill Studio Ltd", "address": ["1 Hill Road"], "country": "GB"}
    await customer.api("PUT", "/api/v1/billing-details", details)
    assert 'value="invoice"' in (await customer.get(path)).text
    await customer.post(path, "invoice", 403, _csrf="wrong")
    await customer.post(path, "invoice")
    page = (await customer.get(path)).text
    assert re.search(r"Invoice \S+-INV-\d{4}-\d+", page), page
    assert 'value="invoice"' not in page
    page = (await customer.get("/billing/documents")).text
    [receipt] = set(re.findall(r'name="document" value="(doc_\w+)"', page))
    done = await customer.post("/billing/documents", "invoice", document=receipt)
    assert done.headers["location"].endswith("done=invoice_made")
    done = await customer.post("/billing/documents", "invoice", document=receipt)
    assert done.headers["location"].endswith("done=invoice_known"), "once, however often"
    assert 'name="document"' not in (await customer.get("/billing/documents")).text
    made = await customer.api("POST", f"/api/v1/orders/order_{orders[0].id.hex}/invoice")
    assert [one["kind"] for one in made.json()] == ["invoice"]
    other, _, _ = await console.owner()
    await other.api("POST", f"/api/v1/orders/order_{orders[0].id.hex}/invoice", status=404)
    await other.get("/billing/documents")
    await other.post("/billing/documents", "invoice", 404, document=receipt)
    listed = (await customer.api("GET", "/api/v1/documents")).json()["documents"]
    assert sorted(one["kind"] for one in listed) == ["invoice", "invoice", "receipt", "receipt"]
    assert "document:asked" in await console.acts()
    await books.prove()


async def test_plans_are_listed_and_given_by_the_api(console: Any, books: Books) -> None:
    _, shown, _ = await desk_of(console, books)
    async with books.operator.work() as work:
        await plans.create(work, "partner", beyond_list=True)
        await plans.put(work, "partner", 8_000, pattern="sandbox/*")
    one, auditor = await console.staff("finance"), await console.staff("auditor")
    found = {plan["name"]: plan for plan in (await auditor.api("GET", "/api/v1/staff/plans")).json()}
    assert [(rule["pattern"], rule["share"]) for rule in found["partner"]["margins"]] == [("sandbox/*", 8_000)]
    assert found["partner"]["beyond_list"]
    path = f"/api/v1/staff/organisations/{shown}/plan"
    assert (await auditor.api("GET", path)).json() == {"plan": "list", "history": []}
    await auditor.api("PUT", path, {"plan": "partner"}, status=403)
    await one.api("PUT", path, {"plan": "nothing"}, status=404)
    past = {"plan": "partner", "starts": "2020-01-01T00:00:00Z"}
    await one.api("PUT", path, past, status=409)
    assert (await one.api("PUT", path, {"plan": "partner"})).json()["plan"] == "partner"
    assert (await auditor.api("GET", path)).json()["history"][0]["plan"] == "partner"
    await one.api("PUT", "/api/v1/staff/organisations/org_" + "0" * 32 + "/plan", {"plan": "list"}, status=404)
    assert (await console.acts()).count("plan:assigned") == 1


async def test_each_form_about_money_is_for_the_roles_that_hold_its_permission(console: Any, books: Books) -> None:
    """What a role may not do is refused before its fields are looked at; else it is told what is wrong with them."""
    _, shown, desk = await desk_of(console, books)
    order = await desk.order(1_000_000)
    places = {"{organisation_id:str}": shown, "{order_id:str}": f"order_{order.id.hex}"}
    before = set(await console.acts())
    for role in get_args(StaffRole):
        browser = await console.staff(role)
        for page in PAGES:
            path = str(page.path)
            for name, value in places.items():
                path = path.replace(name, value)
            sees = page.permission in OF_STAFF_ROLE[role]
            await browser.get(path, 200 if sees else 403)
            for do in page.actions:
                may = sees and page.needs[do] in OF_STAFF_ROLE[role]
                answer = await browser.client.post(path, data={"_do": do, "_csrf": browser.csrf}, headers=SAME)
                assert (answer.status_code == 403) is not may, (role, page.name, do, answer.status_code)
    done = set(await console.acts()) - before
    # To resume who is not suspended asks for no field and changes nothing.
    assert done <= {*ENTERED, "organisation:restored"}
