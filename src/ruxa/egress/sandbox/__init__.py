"""The sandbox provider: a real HTTP upstream that speaks the vendors' dialects and shows every fault on demand.

It is the newcomer's demo and the test bed. It shares no code with ``dialects``: it reads and writes the vendors'
shapes by itself, so that a mistake there cannot hide behind the same mistake here. Answers are deterministic: they
tell what was understood of the prompt (text, media with size and hash, tool results), so that a test can prove what
arrived. ``server.py`` listens; ``mind.py`` decides what to say; one file per dialect says it.

Marks in the last user text steer an answer: ``[[tokens=50]]`` ``[[pace-ms=20]]`` ``[[delay-ms=500]]``
``[[cached=100]]`` ``[[calls=2]]`` ``[[echo]]`` ``[[refuse]]`` and ``[[fail-529]]`` or any other fault of ``faults.py``.
"""
