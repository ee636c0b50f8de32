"""The sandbox processor: a real HTTP server that behaves like Stripe and PayPal where Ruxa uses them. No money moves.

It is how a newcomer tops up without an account anywhere, and the test bed of everything about payments. It shares no
code with the adapters: it reads and writes the processors' shapes by itself, so that a mistake there cannot hide behind
the same mistake here. The official ``stripe`` SDK drives it unmodified.

``server.py`` listens and routes; ``books.py`` remembers; ``stripe_*`` and ``paypal_*`` are the two processors' APIs and
pages; ``webhooks.py`` tells what happened; ``faults.py`` and ``control.py`` make things go wrong on demand (loopback
only, below ``/_sandbox/``). What it does not play it refuses as an unknown parameter or path: nothing is ignored.
"""
