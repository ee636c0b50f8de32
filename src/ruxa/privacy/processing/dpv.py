"""The record of processing in the words of the Data Privacy Vocabulary 2.0 (W3C community group), as JSON-LD.

https://w3id.org/dpv describes the terms; bases are those of its GDPR extension. A category that the vocabulary has no
word for is personal data with the data map's word as its label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ruxa.kernel import datamap
from ruxa.privacy.outbound.register import Declared
from ruxa.privacy.processing.places import Place

CONTEXT: Final[Mapping[str, str]] = {
    "dpv": "https://w3id.org/dpv#",
    "pd": "https://w3id.org/dpv/pd#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "dct": "http://purl.org/dc/terms/",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "ruxa": "urn:ruxa:processing:",
}
PURPOSES: Final[Mapping[str, str]] = {
    "provide": "dpv:ServiceProvision",
    "improve": "dpv:ServiceOptimisation",
    "billing": "dpv:PaymentManagement",
    "limit": "dpv:MisusePreventionAndDetection",
    "support": "dpv:CustomerCare",
    "develop": "dpv:ResearchAndDevelopment",
    "security": "dpv:EnforceSecurity",
    "legal": "dpv:LegalCompliance",
    "analytics": "dpv:ServiceUsageAnalytics",
    "personalise": "dpv:Personalisation",
    "communicate": "dpv:CommunicationManagement",
    "marketing": "dpv:DirectMarketing",
    "proof": "dpv:RecordManagement",
}
BASES: Final[Mapping[str, str]] = {
    "consent": "eu-gdpr:A6-1-a",
    "contract": "eu-gdpr:A6-1-b",
    "legal_obligation": "eu-gdpr:A6-1-c",
    "legitimate_interest": "eu-gdpr:A6-1-f",
}
SUBJECTS: Final[Mapping[str, str]] = {
    "member": "dpv:Customer",
    "organisation": "dpv:Customer",
    "visitor": "dpv:Visitor",
    "payer": "dpv:Client",
    "staff": "dpv:Employee",
    "caller": "dpv:User",
}
DATA: Final[Mapping[str, str]] = {
    "user.contact.email": "pd:EmailAddress",
    "user.name": "pd:Name",
    "user.device.ip_address": "pd:IPAddress",
    "user.authorization.password": "pd:Password",
    "user.demographic.language": "pd:Language",
    "user.device": "pd:DeviceBased",
}


def export(places: Sequence[Place], recipients: Iterable[Declared]) -> bytes:
    """The record as one JSON-LD document."""
    return msgspec.json.format(msgspec.json.encode(document(places, recipients)), indent=2)


def document(places: Sequence[Place], recipients: Iterable[Declared]) -> dict[str, Any]:
    """A process for each purpose, basis, subject and retention; then the recipients."""
    return {"@context": dict(CONTEXT), "@graph": [*_processes(places), *(_recipient(one) for one in recipients)]}


def _processes(places: Iterable[Place]) -> list[dict[str, Any]]:
    held: dict[tuple[str, str, str, str], list[Place]] = {}
    for place in places:
        if place.declaration is not None:
            one = place.declaration
            for purpose, basis in zip(one.purposes, one.bases, strict=True):
                held.setdefault((purpose, basis, one.subject, one.keep), []).append(place)
    return [_process(*key, found) for key, found in sorted(held.items())]


def _process(purpose: str, basis: str, subject: str, keep: str, found: Sequence[Place]) -> dict[str, Any]:
    categories = sorted({category for place in found if place.declaration for category in place.declaration.categories})
    sealed = any(place.declaration.seal != "none" for place in found if place.declaration)
    return {
        "@id": f"ruxa:{purpose}-{basis}-{subject}-{keep}",
        "@type": "dpv:Process",
        "dct:title": f"{purpose}: {subject}, {keep}",
        "dpv:hasPurpose": {"@id": PURPOSES[purpose]},
        "dpv:hasLegalBasis": {"@id": BASES[basis]},
        "dpv:hasDataSubject": {"@id": SUBJECTS[subject]},
        "dpv:hasPersonalData": [
            {"@id": DATA[category], "rdfs:label": category}
            if category in DATA
            else {"@type": "dpv:PersonalData", "rdfs:label": category}
            for category in categories
        ],
        "dpv:hasStorageCondition": {
            "@type": "dpv:StorageCondition",
            "dpv:hasDuration": {"@type": "dpv:Duration", "rdfs:label": datamap.KEEPS[keep]},
        },
        "dpv:hasTechnicalMeasure": [{"@id": "dpv:EncryptionAtRest"}] if sealed else [],
        "dct:source": sorted(f"{place.kind} {place.name}" for place in found),
    }


def _recipient(one: Declared) -> dict[str, Any]:
    return {
        "@id": f"ruxa:recipient-{one.name}-{one.host}-{one.port}",
        "@type": "dpv:Recipient" if one.role == "own" else "dpv:ThirdParty",
        "dct:title": one.who if one.who != "unknown" else one.name,
        "dpv:hasPurpose": [{"@id": PURPOSES[purpose]} for purpose in one.purposes],
        "dpv:hasPersonalData": [
            {"@id": DATA[category], "rdfs:label": category}
            if category in DATA
            else {"@type": "dpv:PersonalData", "rdfs:label": category}
            for category in one.categories
        ],
        "dpv:hasLocation": {"@type": "dpv:Location", "rdfs:label": one.place},
        "dct:description": one.safeguard,
    }
