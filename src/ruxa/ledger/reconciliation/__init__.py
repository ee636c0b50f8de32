"""Reconciliation: what processors, banks and providers have in their books, against ours; and ours for a bookkeeper.

**Nouns.** An *entry* is a line of a processor's books (``egress.processor.Entry``); a *difference* is where it and we
do not agree: it has a name (``missing_here``, ``missing_there``, ``amount_differs``, ``fee_differs``,
``currency_differs``, ``status_differs``, ``balance_differs``, ``upstream_differs``), an owner and an age, and ends when
a later comparison does not find it any more, or by a person's word. The *journal* is the ledger's postings for an
accounting program.

**Way in**::

    differences.run(work, processor, day, entries, scope=...) -> Ran        # a day's books; any number of times
    differences.upstream(work, day)                                         # calls that left, against the books' calls
    differences.listed(work, state=..., ...) / find / assign / resolve
    report.of_days(work, since, until) -> Report;  report.html / csv / as_json
    journal.csv(pool, since, until) -> pieces                               # debits equal credits
    jobs.run(pool, source, sink)                                            # yesterday's books of every processor
"""
