"""The table itself: roles contain each other as people expect."""

from __future__ import annotations

from ruxa.access.roles import OF_ROLE, OF_STAFF_ROLE


def test_an_owner_may_all_that_others_may_and_everybody_may_look() -> None:
    for permissions in OF_ROLE.values():
        assert permissions <= OF_ROLE["owner"]
        assert permissions >= OF_ROLE["viewer"]


def test_a_viewer_changes_nothing() -> None:
    assert {permission.partition(":")[2] for permission in OF_ROLE["viewer"]} == {"read"}


def test_money_and_people_are_apart() -> None:
    assert "member:change" not in OF_ROLE["billing"] | OF_ROLE["developer"]
    assert "key:create" not in OF_ROLE["billing"]
    assert "topup:create" not in OF_ROLE["developer"]
    assert "staff_credit:give" not in OF_STAFF_ROLE["support"] | OF_STAFF_ROLE["security"] | OF_STAFF_ROLE["dpo"]
    paying = {
        one for one in OF_STAFF_ROLE["finance"] if one.startswith(("staff_refund", "staff_dispute", "staff_freeze"))
    }
    assert len(paying) == 4
    for role in ("support", "security", "dpo", "auditor"):
        assert not paying & OF_STAFF_ROLE[role]
    assert not any(
        permission.endswith(
            (":change", ":give", ":suspend", ":create", ":approve", ":ask", ":post", ":confirm", ":lift")
        )
        for permission in OF_STAFF_ROLE["auditor"]
    )
