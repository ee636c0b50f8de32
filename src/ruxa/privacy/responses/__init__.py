"""Responses kept so that their caller can go on from them, sealed and ended by the day as the content of calls is."""
