"""The record of processing as fides manifests (fideslang 3.1): datasets with their fields, systems with declarations.

Written as YAML. https://ethyca.github.io/fideslang/ describes the resources; categories are the data map's own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ruxa.kernel import datamap
from ruxa.privacy.outbound.register import Declared
from ruxa.privacy.processing.places import Place

USES: Final[Mapping[str, str]] = {
    "provide": "essential.service",
    "improve": "functional.service.improve",
    "billing": "essential.service.payment_processing",
    "limit": "essential.service.operations",
    "support": "essential.service.operations.support",
    "develop": "essential.service.operations.improve",
    "security": "essential.service.security",
    "legal": "essential.legal_obligation",
    "analytics": "analytics.reporting.system",
    "personalise": "personalize.content",
    "communicate": "essential.service.notifications.email",
    "marketing": "marketing.communications.email",
    "proof": "essential.legal_obligation",
}
SUBJECTS: Final[Mapping[str, str]] = {
    "member": "customer",
    "organisation": "customer",
    "visitor": "visitor",
    "payer": "customer",
    "staff": "employee",
    "caller": "anonymous_user",
}
BASES: Final[Mapping[str, str]] = {
    "consent": "Consent",
    "contract": "Contract",
    "legal_obligation": "Legal obligations",
    "legitimate_interest": "Legitimate interests",
}
ORGANISATION: Final = "default_organization"


def export(places: Sequence[Place], recipients: Iterable[Declared]) -> bytes:
    """The manifests, as one YAML document."""
    return msgspec.yaml.encode(manifests(places, recipients))


def manifests(places: Sequence[Place], recipients: Iterable[Declared]) -> dict[str, Any]:
    """Datasets and systems as plain data."""
    datasets = [_dataset(schema, tables) for schema, tables in _tables(places).items()]
    own = {
        "fides_key": "ruxa",
        "organization_fides_key": ORGANISATION,
        "name": "Ruxa",
        "system_type": "Service",
        "dataset_references": [dataset["fides_key"] for dataset in datasets],
        "privacy_declarations": _declarations(places),
    }
    return {"dataset": datasets, "system": [own, *(_recipient(one) for one in recipients)]}


def _tables(places: Iterable[Place]) -> dict[str, dict[str, list[Place]]]:
    found: dict[str, dict[str, list[Place]]] = {}
    for place in places:
        if place.kind == "column":
            schema, table, _ = place.name.split(".")
        else:
            schema, table = "elsewhere", place.kind
        found.setdefault(schema, {}).setdefault(table, []).append(place)
    return found


def _dataset(schema: str, tables: Mapping[str, Sequence[Place]]) -> dict[str, Any]:
    return {
        "fides_key": f"ruxa_{schema}",
        "organization_fides_key": ORGANISATION,
        "name": schema,
        "collections": [
            {"name": table, "fields": [_field(place) for place in held]} for table, held in sorted(tables.items())
        ],
    }


def _field(place: Place) -> dict[str, Any]:
    name = place.name.rpartition(".")[2] if place.kind == "column" else place.name
    declaration = place.declaration
    if declaration is None:
        return {"name": name, "data_categories": ["system.operations"]}
    ends = declaration.erase + (f", {declaration.erase_ground}" if declaration.erase_ground else "")
    return {
        "name": name,
        "description": f"kept: {datamap.KEEPS[declaration.keep]}; {datamap.SEALS[declaration.seal]}; erasure: {ends}",
        "data_categories": list(declaration.categories),
        "data_uses": sorted({USES[purpose] for purpose in declaration.purposes}),
        "data_subjects": [SUBJECTS[declaration.subject]],
    }


def _declarations(places: Iterable[Place]) -> list[dict[str, Any]]:
    """One a purpose, basis, subject and retention: what is processed for it."""
    sums: dict[tuple[str, str, str, str], set[str]] = {}
    for place in places:
        if place.declaration is not None:
            one = place.declaration
            for purpose, basis in zip(one.purposes, one.bases, strict=True):
                sums.setdefault((purpose, basis, one.subject, one.keep), set()).update(one.categories)
    return [
        {
            "name": f"{purpose}: {subject}, {keep}",
            "data_categories": sorted(categories),
            "data_use": USES[purpose],
            "data_subjects": [SUBJECTS[subject]],
            "legal_basis_for_processing": BASES[basis],
            "retention_period": datamap.KEEPS[keep],
        }
        for (purpose, basis, subject, keep), categories in sorted(sums.items())
    ]


def _recipient(one: Declared) -> dict[str, Any]:
    return {
        "fides_key": re.sub(r"[^A-Za-z0-9_.<>-]", "_", f"recipient_{one.name}_{one.host}_{one.port}"),
        "organization_fides_key": ORGANISATION,
        "name": one.who if one.who != "unknown" else one.name,
        "system_type": "Application" if one.role == "own" else "Third Party",
        "does_international_transfers": one.place not in ("own", "unknown"),
        "privacy_declarations": [
            {
                "name": f"{one.role}: {purpose}",
                "data_categories": list(one.categories),
                "data_use": USES[purpose],
                "data_subjects": ["customer"],
            }
            for purpose in one.purposes
        ],
    }
