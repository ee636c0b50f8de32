"""Documents: invoices, receipts, credit notes, monthly statements, and what they are made of.

**Nouns.** A *profile* says whom an organisation's invoices are for; the *seller* is the operator; a *document* is what
was issued: it has a number without gaps in its series and fiscal year, never changes, and is corrected by a *credit
note* only. A *statement* is what the credit did in a month. Test money has documents of its own series that say so.

**Who sees what.** Amounts, dates, taxes and references are in clear. A profile is sealed by the organisation's own key;
whom a document is for by the billing key of organisation and fiscal year, which is destroyed seven years after it. When
an organisation is erased its profile goes and its documents stay, for the login ``ruxa_tax`` alone.

**Way in**, with ``terms = seller.terms(settings)``::

    profile.find(work, vault, organisation_ref) / put(work, vault, organisation_ref, party) / checked(name, ...)
    terms.engine.quote(net_minor, party.place) -> Quote     # before orders.create(tax_micros=...)
    issue.issue_for(work, vault, terms, order_id)           # whatever an order's facts ask for; once, however often
    issue.credit_note_for(work, vault, terms, fact_id)      # the same for one refund
    issue.invoice_for(work, vault, terms, order_id)         # on asking, when the profile was written after the payment
    document.listed(work, organisation_ref, before=...) / find / by_name / of_order / lines / taxes / party
    show.html(work, vault, one, words) / show.pdf(work, vault, one, words, fonts=assets.VENDOR)
    monthly.of_month(work, organisation_ref, month) -> Statement;  monthly.issue_for(...) -> its document
    export.ledger_lines(pool, organisation_ref, since, until) / export.calls(...)   # CSV, piece by piece
    jobs.issue(pool, vault, terms)                          # what is still to be issued, for the worker
"""
