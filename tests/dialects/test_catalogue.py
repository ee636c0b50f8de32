"""The catalogue of features between every two dialects: nothing changes without a name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("translation", Path(__file__).parents[2] / "tools" / "translation.py")
assert spec
assert spec.loader
translation = importlib.util.module_from_spec(spec)
spec.loader.exec_module(translation)


def test_nothing_is_lost_in_silence() -> None:
    assert translation.silent() == []


@pytest.mark.parametrize("name", translation.TITLES)
def test_every_dialect_keeps_its_own_features(name: str) -> None:
    """Written for its own dialect again nothing is lost but what no dialect of a provider's answers needs."""
    found = {
        feature: each.how
        for feature in translation.FEATURES
        if (each := translation.crossed(name, name, feature)) is not None
    }
    assert found["text"] == found["tools"] == found["calls of tools"] == found["results of tools"] == "carried"
    assert found["how much to think"] == found["an answer by a JSON Schema"] == "carried"


@pytest.mark.parametrize(("source", "target"), translation.PAIRS)
def test_every_pair_carries_what_all_dialects_have(source: str, target: str) -> None:
    common = [
        feature for feature, (_, bodies) in translation.FEATURES.items() if len(bodies) == len(translation.TITLES)
    ]
    apart = {"web search by the provider", "files kept at the provider"}
    found = {feature: translation.crossed(source, target, feature).how for feature in common if feature not in apart}
    assert set(found.values()) == {"carried"}, found
    assert len(found) >= 14
    for feature in ("text", "thinking", "calls of tools", "an end by length", "figures"):
        assert translation.returned(target, source, feature).how == "carried"
