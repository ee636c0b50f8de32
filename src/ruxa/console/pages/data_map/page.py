"""Data map: every place that can hold something personal, and what it declares; with exports for other tools."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from ruxa.console import cookies
from ruxa.console.page import Page, View, Visit
from ruxa.console.words import Words
from ruxa.kernel.datamap import Declaration
from ruxa.privacy.outbound import register
from ruxa.privacy.processing import dpv, fides, places
from ruxa.privacy.processing.places import Place
from ruxa.store.work import Work

PATH = "/privacy/data"
FIDES, DPV = "/privacy/data/fides.yaml", "/privacy/data/dpv.jsonld"


async def load(visit: Visit, work: Work) -> View:
    """The map as the database and the code have it now, as a page or as one of the two exports."""
    found = await places.gather(work, cookies.places())
    if visit.path == FIDES:
        return _file(fides.export(found, await register.recipients(work)), "application/yaml", "ruxa-fides.yaml")
    if visit.path == DPV:
        return _file(dpv.export(found, await register.recipients(work)), "application/ld+json", "ruxa-dpv.jsonld")
    words = visit.words
    personal = [place for place in found if place.declaration is not None]
    counted = Counter(place.kind for place in found)
    return View(
        {
            "problems": places.problems(found),
            "kinds": [
                {
                    "name": words.plain(f"data_map.kind_{kind}"),
                    "personal": sum(place.kind == kind for place in personal),
                    "all": counted[kind],
                }
                for kind in places.KINDS
            ],
            "groups": [
                {"name": name, "lines": [_line(words, place) for place in held]}
                for name, held in groupby(personal, key=_group)
            ],
            "all": len(found),
            "personal": len(personal),
        }
    )


def _file(body: bytes, media_type: str, name: str) -> View:
    return View(body=body, media_type=media_type, filename=name)


def _group(place: Place) -> str:
    return place.name.rpartition(".")[0] if place.kind == "column" else place.kind


def _line(words: Words, place: Place) -> dict[str, str]:
    said = place.declaration
    assert isinstance(said, Declaration)
    return {
        "name": place.name.rpartition(".")[2] if place.kind == "column" else place.name,
        "category": ", ".join(said.categories),
        "subject": words.plain(f"data_map.subject_{said.subject}"),
        "purpose": ", ".join(said.purposes),
        "basis": ", ".join(words.plain(f"data_map.basis_{basis}") for basis in dict.fromkeys(said.bases)),
        "keep": words.plain(f"data_map.keep_{said.keep}"),
        "seal": words.plain(f"data_map.seal_{said.seal}"),
        "erase": words.plain(f"data_map.erase_{said.erase}"),
        "export": words.plain("data_map.export_yes" if said.export else "data_map.export_no"),
    }


PAGE = Page(name="data_map", path=(PATH, FIDES, DPV), area="public", load=load)
