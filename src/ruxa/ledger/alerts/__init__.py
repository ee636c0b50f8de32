"""Alerts about money: bounds that an organisation wants to be told of, and each crossing of one, told once.

=================  =============================================================================================
``low_balance``    the balance of a scope is below the bound (5 USD unless set); over again when it is above
``budget_80``      80 % of a budget's period is used; ``budget_100``: 99.5 %, which leaves nothing for a call
``payment_failed`` a top-up failed
``auto_off``       auto top-up was switched off (three failures, or a card that must not be tried again)
``auto_paused``    auto top-up waits for the customer: the bank wants to see them
``unusual``        spent today over 10 USD and over 3 times the mean of the seven days before
``dispute``        a payment is disputed, so spending is frozen; always told
=================  =============================================================================================
"""
