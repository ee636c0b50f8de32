"""The promise: the policy as data, and what keeps and shows each clause of it.

Nouns: Policy, Clause, Subject, Purpose, Retention. ``policy`` is the only place where the policy's numbers stand.
"""
