"""Ruxa: an AI API services platform that can prove its privacy policy."""

__version__ = "0.1.0"
