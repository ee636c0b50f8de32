"""Role x Permission: the only table of who may do what; everything else asks ``authorize``.

A membership's role holds inside one organisation; a staff role holds across the installation. A scope is what an API
key may do. What a table does not grant is denied.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

Role = Literal["owner", "developer", "billing", "viewer"]
StaffRole = Literal["operator", "support", "finance", "security", "dpo", "auditor"]
Scope = Literal[
    "chat", "embeddings", "images", "audio", "tasks", "files", "usage:read", "content:read", "billing:read", "admin:*"
]

Permission = Literal[
    # inside an organisation
    "organisation:read",
    "organisation:change",
    "member:read",
    "member:invite",
    "member:change",
    "key:read",
    "key:create",
    "key:change",
    "playground:use",
    "usage:read",
    "content:read",
    "content:delete",
    "balance:read",
    "topup:create",
    "ledger:read",
    "payment:read",
    "payment:change",
    "document:read",
    "billing:change",
    "entry:read",
    # across the installation
    "staff_organisation:list",
    "staff_organisation:create",
    "staff_organisation:suspend",
    "staff_member:read",
    "staff_member:suspend",
    "staff_key:revoke",
    "staff_credit:give",
    "staff_ledger:prove",
    "staff_price:change",
    "staff_provider:change",
    "staff_outbox:read",
    "staff_entry:read",
    "staff_policy:read",
    "staff_hold:approve",
    "staff_payment:read",
    "staff_refund:ask",
    "staff_refund:approve",
    "staff_dispute:answer",
    "staff_freeze:lift",
    "staff_transfer:confirm",
    "staff_writeoff:post",
    "staff_difference:resolve",
]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
STAFF_ROLES: Final[tuple[StaffRole, ...]] = get_args(StaffRole)
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)

# What an inference call needs; a new key has these unless told otherwise.
CALL_SCOPES: Final[tuple[Scope, ...]] = ("chat", "embeddings", "images", "audio", "tasks", "files")

_VIEWER: Final[frozenset[Permission]] = frozenset({"organisation:read", "member:read", "key:read", "usage:read"})

_DEVELOPER: Final = _VIEWER | frozenset[Permission](
    {"key:create", "key:change", "playground:use", "content:read", "content:delete", "balance:read"}
)
_BILLING: Final = _VIEWER | frozenset[Permission](
    {
        "balance:read",
        "topup:create",
        "ledger:read",
        "payment:read",
        "payment:change",
        "document:read",
        "billing:change",
    }
)

OF_ROLE: Final[dict[Role, frozenset[Permission]]] = {
    "owner": _DEVELOPER
    | _BILLING
    | frozenset[Permission]({"organisation:change", "member:invite", "member:change", "entry:read"}),
    "developer": _DEVELOPER,
    "billing": _BILLING,
    "viewer": _VIEWER,
}

# Who works with payments: asking for and approving are two people's, whatever roles they have.
_MONEY: Final[frozenset[Permission]] = frozenset(
    {
        "staff_payment:read",
        "staff_refund:ask",
        "staff_refund:approve",
        "staff_dispute:answer",
        "staff_freeze:lift",
        "staff_transfer:confirm",
        "staff_writeoff:post",
        "staff_difference:resolve",
    }
)

OF_STAFF_ROLE: Final[dict[StaffRole, frozenset[Permission]]] = {
    "operator": _MONEY
    | frozenset[Permission](
        {
            "staff_organisation:list",
            "staff_organisation:create",
            "staff_organisation:suspend",
            "staff_member:read",
            "staff_member:suspend",
            "staff_key:revoke",
            "staff_credit:give",
            "staff_ledger:prove",
            "staff_price:change",
            "staff_provider:change",
            "staff_outbox:read",
            "staff_entry:read",
            "staff_policy:read",
            "staff_hold:approve",
        }
    ),
    "support": frozenset({"staff_organisation:list", "staff_member:read", "staff_policy:read"}),
    "finance": _MONEY
    | frozenset[Permission](
        {
            "staff_organisation:list",
            "staff_credit:give",
            "staff_ledger:prove",
            "staff_price:change",
            "staff_policy:read",
        }
    ),
    "security": frozenset(
        {
            "staff_organisation:list",
            "staff_organisation:suspend",
            "staff_member:read",
            "staff_member:suspend",
            "staff_key:revoke",
            "staff_entry:read",
            "staff_policy:read",
            "staff_hold:approve",
        }
    ),
    "dpo": frozenset({"staff_entry:read", "staff_policy:read", "staff_hold:approve"}),
    "auditor": frozenset({"staff_ledger:prove", "staff_policy:read", "staff_payment:read"}),
}

OF_SCOPE: Final[dict[Scope, frozenset[Permission]]] = {
    "chat": frozenset(),
    "embeddings": frozenset(),
    "images": frozenset(),
    "audio": frozenset(),
    "tasks": frozenset(),
    "files": frozenset(),
    "usage:read": frozenset({"usage:read"}),
    "content:read": frozenset({"content:read", "content:delete"}),
    "billing:read": frozenset({"balance:read", "ledger:read", "payment:read", "document:read"}),
    # What was said in calls is for keys that were made to read it, not for whoever administers.
    "admin:*": OF_ROLE["owner"] - frozenset({"topup:create", "payment:change", "playground:use", "content:read"}),
}
