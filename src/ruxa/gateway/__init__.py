"""The room gateway: a call's way from the caller's socket to the provider's and back, and what it cost.

Nouns: Exchange (one call and all that happened to it), Entry (a known key), Target (a model at a provider with its
price), Habit (what a key's usual calls have in common), Attempt (a try at a target), Relay (a stream under way),
Journal and Segment (what survives a kill), Books (the ledger as the journal sees it). Files in the order of a call:
``door admit limits habit plan reserve attempt relay meter journal flusher``; beside them ``snapshot`` (known keys),
``standing`` (rate-limit headers), ``answer`` (what goes back besides the body), ``recovery`` and ``books`` (what a dead
run left), ``models``, ``metrics``, ``relayed`` (the console behind the door).

Invariants: nothing between admission and the attempt waits, unless a key is new or money has to be fetched. No call
goes upstream that could not be journaled. A call is charged once, when the provider's answer is complete, and its
CLOSE is on file before the last byte goes out. Only headers of the allow-list leave, and content passes byte for byte.

Way in, for a worker process (see ``app/gateway.py``)::

    pipeline = Pipeline(
        worker=Worker(name="gateway-0", workers=1, journals=data / "journal", metrics=data / "run" / "metrics"),
        settings=settings, clock=clock, sink=sink, works=pool, keys=vault, hub=notices,
        providers=providers.load(settings.providers, read_secret, sandbox_url=url).ready,
        pool=upstreams, wheel=wheel, console=ConsoleRelay(upstreams, socket_path),
    )
    await pipeline.start()                      # recovers an earlier run's journal first
    door = Door(pipeline.serve, pipeline.render, wheel=wheel, sink=sink, screen=pipeline.screen)
    await door.start(host, port)
    ...
    await door.drain(); await pipeline.drain()  # rows flushed, leases given back, journal empty
"""
