"""Access: where a sandbox processor is and the secrets its callers and it share; made anew at each start."""

from __future__ import annotations

import secrets

import msgspec

STRIPE_ACCOUNT = "acct_1RuxaSandbox0000"
PAYPAL_MERCHANT = "RUXASANDBOX01"


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """url: of the server, "" until it listens; the rest as the real processors' dashboards would show them."""

    url: str = ""
    stripe_key: str
    stripe_webhook_secret: str
    paypal_client_id: str
    paypal_client_secret: str
    paypal_webhook_id: str

    @property
    def paypal_root_url(self) -> str:
        """Where the root of its PayPal certificates is (PEM); made when first asked for."""
        return f"{self.url}/_sandbox/paypal/root.pem"

    def at(self, url: str) -> Access:
        """The same secrets, at ``url``."""
        return msgspec.structs.replace(self, url=url)


def fresh(*, live: bool = False) -> Access:
    """New secrets, of the processors' own forms. live: Stripe's objects say that real money moves (for tests)."""
    return Access(
        stripe_key=f"sk_{'live' if live else 'test'}_{secrets.token_hex(24)}",
        stripe_webhook_secret=f"whsec_{secrets.token_hex(16)}",
        paypal_client_id=f"A{secrets.token_hex(24)}",
        paypal_client_secret=f"E{secrets.token_hex(24)}",
        paypal_webhook_id=secrets.token_hex(9)[:17].upper(),
    )
