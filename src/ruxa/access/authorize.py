"""Principal may Permission on Thing: the one question, and whether the answer is 401, 403 or 404.

401 when nobody is known; 404 when the principal may not know that the thing exists (another organisation's, or the
staff's rooms for who is not staff); 403 when it is known and the role or scope does not grant the act.
"""

from __future__ import annotations

from typing import Literal, cast
from uuid import UUID

import msgspec

from ruxa.access.grants import Grant
from ruxa.access.roles import OF_ROLE, OF_SCOPE, OF_STAFF_ROLE, Permission, Role, Scope, StaffRole
from ruxa.kernel.errors import Forbidden, NotFound, Unauthenticated


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts: a member in a session, a key, or the operator at the machine's own command line."""

    kind: Literal["member", "key", "operator"]
    id: UUID | None = None
    roles: dict[UUID, Role] = {}
    staff_role: StaffRole | None = None
    scopes: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """For ``Pool.work(principal)``: kind and id."""
        return self.kind if self.id is None else f"{self.kind}:{self.id.hex}"


OPERATOR = Principal(kind="operator", staff_role="operator")


def of_key(grant: Grant) -> Principal:
    """The principal that an API key is."""
    return Principal(kind="key", id=grant.key_id, roles={grant.organisation_id: "viewer"}, scopes=grant.scopes)


def may(principal: Principal, permission: Permission, organisation_id: UUID | None = None) -> bool:
    """Whether the tables of ``roles`` grant it; the organisation is left out for ``staff_`` permissions only."""
    if permission.startswith("staff_"):
        return principal.staff_role is not None and permission in OF_STAFF_ROLE[principal.staff_role]
    assert organisation_id is not None, permission
    role = principal.roles.get(organisation_id)
    if role is None:
        return False
    if principal.kind == "key":
        return any(permission in OF_SCOPE.get(cast(Scope, scope), frozenset()) for scope in principal.scopes)
    return permission in OF_ROLE[role]


def require(principal: Principal | None, permission: Permission, organisation_id: UUID | None = None) -> Principal:
    """The principal, when it may; raises Unauthenticated, NotFound or Forbidden otherwise."""
    if principal is None:
        raise Unauthenticated("Sign in first.", code="sign_in_required")
    if may(principal, permission, organisation_id):
        return principal
    if permission.startswith("staff_"):
        if principal.staff_role is None:
            raise NotFound("There is no such page.")
    elif organisation_id not in principal.roles:
        raise NotFound("No such organisation.")
    elif principal.kind == "key":
        raise Forbidden("This key's scopes do not allow that.", code="scope_missing", detail=f"permission={permission}")
    raise Forbidden("Your role does not allow that.", code="role_missing", detail=f"permission={permission}")
