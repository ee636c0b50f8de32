"""Every page, in the order of the menu. Adding a page is a folder and a line here."""

from __future__ import annotations

from ruxa.console.page import Page
from ruxa.console.pages.accept.page import PAGE as accept
from ruxa.console.pages.activity.page import PAGE as activity
from ruxa.console.pages.alerts.page import PAGE as alerts
from ruxa.console.pages.api_docs.page import PAGE as api_docs
from ruxa.console.pages.audit.page import PAGE as audit
from ruxa.console.pages.audit_staff.page import PAGE as audit_staff
from ruxa.console.pages.auto_top_up.page import PAGE as auto_top_up
from ruxa.console.pages.backups.page import PAGE as backups
from ruxa.console.pages.billing.page import PAGE as billing
from ruxa.console.pages.billing_details.page import PAGE as billing_details
from ruxa.console.pages.books.page import PAGE as books
from ruxa.console.pages.call.page import PAGE as call
from ruxa.console.pages.contact.page import PAGE as contact
from ruxa.console.pages.data_map.page import PAGE as data_map
from ruxa.console.pages.disputes.page import PAGE as disputes
from ruxa.console.pages.document.page import PAGE as document
from ruxa.console.pages.documents.page import PAGE as documents
from ruxa.console.pages.holds.page import PAGE as holds
from ruxa.console.pages.home.page import PAGE as home
from ruxa.console.pages.key.page import PAGE as key
from ruxa.console.pages.keys.page import PAGE as keys
from ruxa.console.pages.landing.page import PAGE as landing
from ruxa.console.pages.my_data.page import PAGE as my_data
from ruxa.console.pages.order.page import PAGE as order
from ruxa.console.pages.orders.page import PAGE as orders
from ruxa.console.pages.organisation.page import PAGE as organisation
from ruxa.console.pages.organisations.page import PAGE as organisations
from ruxa.console.pages.outbound.page import PAGE as outbound
from ruxa.console.pages.outbox.page import PAGE as outbox
from ruxa.console.pages.payment.page import PAGE as payment
from ruxa.console.pages.payments.page import PAGE as payments
from ruxa.console.pages.plans.page import PAGE as plans
from ruxa.console.pages.playground.page import PAGE as playground
from ruxa.console.pages.privacy.page import PAGE as privacy
from ruxa.console.pages.processors.page import PAGE as processors
from ruxa.console.pages.proofs.page import PAGE as proofs
from ruxa.console.pages.provider_keys.page import PAGE as provider_keys
from ruxa.console.pages.quarantine.page import PAGE as quarantine
from ruxa.console.pages.reconciliation.page import PAGE as reconciliation
from ruxa.console.pages.refunds_staff.page import PAGE as refunds_staff
from ruxa.console.pages.reset.page import PAGE as reset
from ruxa.console.pages.retention.page import PAGE as retention
from ruxa.console.pages.settings.page import PAGE as settings
from ruxa.console.pages.sign_in.page import PAGE as sign_in
from ruxa.console.pages.sign_up.page import PAGE as sign_up
from ruxa.console.pages.subprocessors.page import PAGE as subprocessors
from ruxa.console.pages.system.page import PAGE as system
from ruxa.console.pages.team.page import PAGE as team
from ruxa.console.pages.terms.page import PAGE as terms
from ruxa.console.pages.top_up.page import PAGE as top_up
from ruxa.console.pages.transfers.page import PAGE as transfers
from ruxa.console.pages.verify.page import PAGE as verify

PAGES: tuple[Page, ...] = (
    landing,
    sign_up,
    verify,
    sign_in,
    reset,
    accept,
    terms,
    privacy,
    retention,
    data_map,
    subprocessors,
    contact,
    api_docs,
    home,
    playground,
    activity,
    call,
    keys,
    provider_keys,
    key,
    billing,
    top_up,
    auto_top_up,
    orders,
    order,
    documents,
    document,
    billing_details,
    alerts,
    team,
    audit,
    settings,
    my_data,
    organisations,
    organisation,
    payments,
    payment,
    quarantine,
    refunds_staff,
    disputes,
    transfers,
    books,
    reconciliation,
    processors,
    plans,
    proofs,
    audit_staff,
    holds,
    outbound,
    outbox,
    backups,
    system,
)
