"""Ids: UUIDv7 with a prefix outside; in the order of making."""

from __future__ import annotations

from ruxa.kernel import ids


def test_fresh_ids_sort_in_the_order_of_making() -> None:
    made = [ids.fresh() for _ in range(1000)]
    assert made == sorted(made)
    assert len(set(made)) == 1000
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {"specified in RFC 4122"}
