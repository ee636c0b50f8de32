"""The tests of the room share the house with people in it (fixtures_access)."""

from fixtures_access import house, hurry

__all__ = ["house", "hurry"]
