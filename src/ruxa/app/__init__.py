"""The composition root: settings become processes, and each process gets its objects here and nowhere else.

``supervisor`` starts and watches the processes of decision D1; ``child`` is the far end of its pipe; ``gateway``,
``console``, ``worker`` and ``sandbox`` wire one kind of process each. ``instance`` knows what a data directory is and
who holds it, ``database`` brings PostgreSQL up, ``first_start`` fills an empty one.
"""
