"""The words every room uses: errors, ids, money, clock, settings, signals. Nouns, no verbs of convenience."""
