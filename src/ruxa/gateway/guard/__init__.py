"""The guard: personal data and secrets in calls and answers, found and masked, or the call refused. Pure functions.

Nouns: Span (a found thing: where, and its kind), Guard (``access/guards``: what a key does not let through), Filter (a
text as it comes, piece by piece), Watch (a stream of deltas under guard). ``checks`` and ``national`` know what a true
number is, ``secrets`` what keys look like, ``spans`` finds all of them in one text in linear time; ``filter`` does so
in a text that comes in pieces and holds back a bounded rest; ``arguments`` in JSON; ``calls`` and ``answers`` in all
that a call and an answer say.

Way in::

    found = Counter()
    call = calls.guarded(call, guard, found)            # before it is written; raises InvalidCall ``guard_refused``
    reply = answers.guarded(reply, guard, found)        # a whole answer
    watch = answers.Watch(guard, found)                 # a stream: writer.write(watch.feed(reader.feed(bytes)))

``found`` counts what was found by kind. A call under guard is always read and written, also when both sides speak the
same dialect: bytes that nobody looked into must not pass.
"""
