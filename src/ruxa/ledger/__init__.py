"""The room of money: accounts, transfers, lots, leases, prices, charges, budgets, and their proofs.

**Nouns.** An *account* has two sides, each posted and pending; a *transfer* moves micros from its debit to its credit
account and is never changed (a pending one is resolved once, by ``post`` or ``void``). A *lot* is a grant of credit:
an account that cannot be overdrawn, with a scope (sandbox money buys only ``sandbox/*``), a priority and perhaps an
end. A *lease* is credit lent to one gateway worker, a *hold* credit kept for one long task; both are pending transfers
over lots (and budgets) in consumption order. A *charge* is a usage row: immutable, with the price row it recomputes
from and the lease that pays for it.

**Invariants**, checked by ``proofs.check`` and most of them refused by the database itself: counters equal the sum of
transfers; no lot and no budget below zero; a lease's spending equals its charges; a closed lease is posted to the
micro; every charge recomputes from its price; sandbox and live money never meet; the books balance.

**Way in.** Writers take ``work`` first. On the hot path nothing here does I/O while a lease lasts::

    price = snapshot[model]                                    # prices.current(work), kept by the gateway
    hold = quotes.worst(price, envelope.load, output_tokens_default=grant.output_tokens_default)
    reservation = purse.draw(hold) or await leases.reserve(organisation_ref, price.scope, grant.budget_scope, hold)
    ...                                                        # journal OPEN, upstream
    amount = prices.charge(price, usage)
    row = UsageRow(id=..., lease_id=reservation.lease_id, amount_micros=amount, price_id=price.id, ...)
    ...                                                        # journal CLOSE with the row
    reservation.settle(amount)                                 # or reservation.release(): then row.lease_id is None

**The journal's calls** (``usage``): at start ``run = run_begin(work, worker)``; for each file of an earlier run
``segment_begin`` (anything but ``open`` means: never book it), ``flush`` its CLOSE rows, ``leases.close_all`` its lease
intents, ``segment_acknowledge``, and after the last file of a run ``run_end``. While running: ``segment_begin``, then
``flush(work, rows, segment)`` for each batch in a transaction of its own, after its commit ``leases.flushed(rows)``;
when the segment is full and flushed ``segment_acknowledge`` and unlink after the commit. A row of a lease that is
closed already goes the late path inside ``flush``: what is free pays, the rest is the organisation's shortfall, what
exceeds the lease is the platform's loss. Rows that can never be booked come back in ``Flushed.refused``: keep their
frames aside and tell ``journal.refused``. ``Unavailable`` from ``flush`` means: send the same rows again.
"""
