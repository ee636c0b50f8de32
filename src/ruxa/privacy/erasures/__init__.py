"""Erasures: their journal, and the certificate that says what was done. The engine is ``privacy/erase.py``."""
