"""Who may do what: every role, staff role and scope against every permission, and which refusal is given."""

from __future__ import annotations

import json
import os
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ruxa.access import authorize, grants, roles
from ruxa.access.authorize import OPERATOR, Principal
from ruxa.kernel.errors import Forbidden, NotFound, Unauthenticated

HOME, FOREIGN = uuid4(), uuid4()
GOLDEN = Path(__file__).with_name("permissions.json")


def grant(scopes: frozenset[str]) -> grants.Grant:
    return grants.Grant(
        key_id=uuid4(),
        organisation_id=HOME,
        organisation_ref=uuid4(),
        livemode=True,
        scopes=scopes,
        models=None,
        requests_per_minute=None,
        tokens_per_minute=None,
        concurrency=None,
        store_days=0,
        budget_scope=None,
        expires_at_ms=None,
        output_tokens_default=1,
    )


def everybody() -> dict[str, Principal | None]:
    found: dict[str, Principal | None] = {"nobody": None, "command line": OPERATOR}
    for role in roles.ROLES:
        found[f"member {role}"] = Principal(kind="member", id=uuid4(), roles={HOME: role})
    found["member of another organisation"] = Principal(kind="member", id=uuid4(), roles={FOREIGN: "owner"})
    for staff_role in roles.STAFF_ROLES:
        found[f"staff {staff_role}"] = Principal(kind="member", id=uuid4(), staff_role=staff_role)
    for scope in roles.SCOPES:
        found[f"key {scope}"] = authorize.of_key(grant(frozenset({scope})))
    found["key of an unknown scope"] = authorize.of_key(grant(frozenset({"root"})))
    return found


def answer(principal: Principal | None, permission: roles.Permission, organisation_id: UUID | None) -> str:
    try:
        authorize.require(principal, permission, organisation_id)
    except (Unauthenticated, Forbidden, NotFound) as error:
        return f"{error.status} {error.code}"
    return "yes"


def matrix() -> dict[str, dict[str, list[str]]]:
    """who -> answer -> permissions."""
    found: dict[str, dict[str, list[str]]] = {}
    for who, principal in everybody().items():
        answers: dict[str, list[str]] = {}
        for permission in roles.PERMISSIONS:
            organisation_id = None if permission.startswith("staff_") else HOME
            answers.setdefault(answer(principal, permission, organisation_id), []).append(permission)
        found[who] = {key: sorted(value) for key, value in sorted(answers.items())}
    return found


def test_the_matrix_is_the_golden_one() -> None:
    """RUXA_GOLDEN=write renews the file; the difference is then reviewed like code."""
    text = json.dumps(matrix(), indent=1) + "\n"
    if os.environ.get("RUXA_GOLDEN") == "write":
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_nobody_is_asked_to_sign_in_whatever_it_is() -> None:
    assert {answer(None, one, None if one.startswith("staff_") else HOME) for one in roles.PERMISSIONS} == {
        "401 sign_in_required"
    }


def test_no_staff_role_reaches_into_an_organisation() -> None:
    inside = [one for one in roles.PERMISSIONS if not one.startswith("staff_")]
    for staff_role in roles.STAFF_ROLES:
        principal = Principal(kind="member", id=uuid4(), staff_role=staff_role)
        assert {answer(principal, one, HOME) for one in inside} == {"404 not_found"}


def test_every_permission_is_granted_to_somebody_and_none_is_unknown() -> None:
    tables = (roles.OF_ROLE, roles.OF_STAFF_ROLE, roles.OF_SCOPE)
    granted = {one for table in tables for permissions in table.values() for one in permissions}
    assert granted == set(roles.PERMISSIONS)
    assert set(roles.OF_ROLE) == set(roles.ROLES)
    assert set(roles.OF_STAFF_ROLE) == set(roles.STAFF_ROLES)
    assert set(roles.OF_SCOPE) == set(roles.SCOPES)
    assert set(roles.CALL_SCOPES) < set(roles.SCOPES)


def test_members_and_keys_hold_no_staff_permission_and_keys_never_pay() -> None:
    for table in (roles.OF_ROLE, roles.OF_SCOPE):
        assert not [one for permissions in table.values() for one in permissions if one.startswith("staff_")]
    assert not {one for scope in roles.OF_SCOPE.values() for one in scope} & {
        "topup:create",
        "payment:change",
        "playground:use",
    }


def test_an_organisations_permission_needs_the_organisation() -> None:
    with pytest.raises(AssertionError):
        authorize.may(OPERATOR, "key:read")


def test_a_principal_names_itself_by_id_only() -> None:
    principal = Principal(kind="member", id=HOME)
    assert principal.text == f"member:{HOME.hex}"
    assert OPERATOR.text == "operator"
