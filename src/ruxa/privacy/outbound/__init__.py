"""The door out as the database remembers it: who is declared, and how often each received which category of data."""
