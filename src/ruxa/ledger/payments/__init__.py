"""Payments: how what a processor confirms becomes money in the ledger, and how it goes back.

**Nouns.** An *order* is a top-up that was asked for; a *fact* is what a processor's API confirms about one object of
its (capture, refund, dispute, fee, payout); a *hint* says where to look. A *refund* is our wish to give money back,
done when its fact says so; an *attempt* is one charge of auto top-up; a *freeze* stops an organisation's spending; the
*quarantine* holds facts that do not fit: seen, named, never credited.

**The one way in** is ``facts.note``: it locks the organisation, checks account, mode, currency, amount and order, moves
an object's status forward only, and posts exactly the difference between what its status meant and what it means now.
So a fact may come once or fifty times, in any order, from a webhook, the poller and the return page at once.

=====================================  =========================================================================
``asset:clearing:<processor>``         what the processor holds for us (its balance)
``asset:bank``                         what it paid out, and bank transfers
``expense:processor_fees``             what it keeps
``liability:tax:<jurisdiction>``       tax taken, not ours
``lot:<capture>``                      the credit; debts are paid first
``shortfall:<scope>:<org>``            refunds and lost disputes beyond what was unspent: a debt
``expense:writeoff:<reason>``          debts given up, by name
=====================================  =========================================================================

A sandbox processor's accounts end in ``:sandbox`` and its lots buy only ``sandbox/*``.

Capture: clearing to lot and tax. Refund: lot, tax and, beyond the unspent, debt to clearing. Dispute: the same, pending
while it is open and void when it is won. Fee: expense to clearing. Payout: clearing to bank.
"""
