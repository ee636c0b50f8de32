"""The exports are what their vocabularies say they are, and hold every personal place."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from fixtures_database import Database
from ruxa.console import cookies
from ruxa.egress.recipient import Register
from ruxa.kernel import datamap
from ruxa.privacy.outbound import register as outbound
from ruxa.privacy.processing import dpv, fides, places
from ruxa.privacy.processing.places import Place
from wire_parts import SOMEBODY, Told


async def both(database: Database) -> tuple[list[Place], list[outbound.Declared]]:
    register = Register(Told())
    register.allow(SOMEBODY, "api.test", 443)
    async with (await database.pool("ruxa_operator")).work() as work:
        await outbound.declare(work, register)
        return await places.gather(work, cookies.places()), await outbound.recipients(work)


# What we use of fideslang 3.1.4's taxonomy; its own models need another pydantic than the rest of the tests.
USES = {
    "essential.service", "functional.service.improve", "essential.service.payment_processing",
    "essential.service.operations", "essential.service.operations.support", "essential.service.operations.improve",
    "essential.service.security", "essential.legal_obligation", "analytics.reporting.system", "personalize.content",
    "essential.service.notifications.email", "marketing.communications.email",
}  # fmt: skip
SUBJECTS = {"anonymous_user", "customer", "employee", "visitor"}
BASES = {"Consent", "Contract", "Legal obligations", "Legitimate interests"}
KEY = re.compile(r"[a-zA-Z0-9_.<>-]+")


async def test_fides_manifests_hold_every_place_in_words_that_fides_knows(database: Database) -> None:
    found, recipients = await both(database)
    told: dict[str, list[dict[str, Any]]] = msgspec.yaml.decode(fides.export(found, recipients))
    assert {system["fides_key"] for system in told["system"]} == {"ruxa", "recipient_test_api.test_443"}
    fields = {
        (dataset["name"], collection["name"], field["name"]): field
        for dataset in told["dataset"]
        for collection in dataset["collections"]
        for field in collection["fields"]
    }
    assert len(fields) == len(found)
    assert fields["access", "member", "email_sealed"]["data_categories"] == ["user.contact.email"]
    said = [one for system in told["system"] for one in system["privacy_declarations"]]
    assert {use for field in fields.values() for use in field.get("data_uses", [])} <= USES
    assert {one["data_use"] for one in said} <= USES
    assert {key for one in [*fields.values(), *said] for key in one["data_categories"]} <= datamap.CATEGORIES
    assert {key for one in [*fields.values(), *said] for key in one.get("data_subjects", [])} <= SUBJECTS
    assert {one["legal_basis_for_processing"] for one in said if "legal_basis_for_processing" in one} <= BASES
    assert all(KEY.fullmatch(one["fides_key"]) for one in [*told["dataset"], *told["system"]])
    assert set(fides.USES) == datamap.PURPOSES
    assert set(fides.USES.values()) == USES
    assert set(fides.SUBJECTS) == datamap.SUBJECTS
    assert set(fides.BASES) == datamap.BASES


async def test_the_vocabularys_document_names_every_personal_place(database: Database) -> None:
    found, recipients = await both(database)
    document = json.loads(dpv.export(found, recipients))
    processes = [node for node in document["@graph"] if node["@type"] == "dpv:Process"]
    named = {source for node in processes for source in node["dct:source"]}
    assert named == {f"{place.kind} {place.name}" for place in found if place.declaration is not None}
    prefixes = {key.partition(":")[0] for key in _ids(document["@graph"])}
    assert prefixes <= set(document["@context"])
    assert len({node["@id"] for node in document["@graph"]}) == len(document["@graph"])
    assert set(dpv.PURPOSES) == datamap.PURPOSES
    assert set(dpv.SUBJECTS) == datamap.SUBJECTS
    assert set(dpv.BASES) == datamap.BASES


def _ids(node: object) -> set[str]:
    return set(re.findall(r'"@id": ?"([^"]+)"', json.dumps(node)))
