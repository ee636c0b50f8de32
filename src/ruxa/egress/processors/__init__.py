"""The payment processors that come with Ruxa: Stripe, PayPal, bank transfers; and the sandbox that plays the first two.

Each adapter speaks its processor's API through ``wire`` - the one pool, the register, the tally - and gives facts. They
are strangers to each other.
"""
