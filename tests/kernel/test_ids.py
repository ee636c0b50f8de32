"""Ids: UUIDv7 with a prefix outside; in the order of making."""

from __future__ import annotations

from uuid import UUID

import pytest

from ruxa.kernel import ids
from ruxa.kernel.errors import NotFound


def test_fresh_ids_sort_in_the_order_of_making() -> None:
    made = [ids.fresh() for _ in range(1000)]
    assert made == sorted(made)
    assert len(set(made)) == 1000
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {"specified in RFC 4122"}


def test_an_id_is_read_from_its_own_text_and_from_nothing_that_means_the_same() -> None:
    one = UUID(int=ids.fresh().int | 1)
    shown = ids.text("exp", one)
    assert ids.read("exp", shown) == one
    assert shown[4] == "0"
    digits = shown[5:]
    for other in (
        f"exp_\n{digits}",
        f"exp_ {digits}",
        f"exp_\u0660{digits}",
        f"exp_{{{digits}",
        f"exp_0{digits[:-1]}\n",
        f"exp_0{digits[:15]}_{digits[16:]}",
        f"exp_0{digits[:-1]}",
        f"exp_0{digits}0",
        f"org_0{digits}",
    ):
        with pytest.raises(NotFound):
            ids.read("exp", other)
