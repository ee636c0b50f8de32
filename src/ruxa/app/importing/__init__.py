"""Taking over from another gateway: what its configuration says, as a plan for this one, and what it cannot say.

``litellm.py`` and ``newapi.py`` read; ``plan.py`` is what they read into; ``fragment.py`` writes the part that belongs
into ``ruxa.toml``; ``apply.py`` makes routes and keys. No secret of the other gateway is ever written anywhere.
"""
