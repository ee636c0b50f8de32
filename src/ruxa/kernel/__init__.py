"""The words every room uses: errors, ids, money, clock, settings, signals. Nouns of the house, no verbs of convenience."""
