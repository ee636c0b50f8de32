"""The SQL of alerts."""

from __future__ import annotations

from typing import Final

OF: Final = "SELECT low_micros, budget, payment, unusual FROM ledger.alerts_of(%s)"
PUT: Final = "SELECT ledger.alerts_put(%s, %s, %s, %s, %s)"
LISTED: Final = "SELECT * FROM ledger.alerts_listed(%s, %s)"
LOOK: Final = "SELECT ledger.alerts_look()"
SPEND: Final = "SELECT ledger.alerts_spend()"
UNTOLD: Final = "SELECT * FROM ledger.alerts_untold(%s)"
TOLD: Final = "SELECT ledger.alert_told(%s)"
SWEEP: Final = "SELECT ledger.alerts_sweep(%s)"
