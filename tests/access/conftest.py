"""The tests of the room share one house with people in it (fixtures_access)."""

from fixtures_access import house, hurry

__all__ = ["house", "hurry"]
