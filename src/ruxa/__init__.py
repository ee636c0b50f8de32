"""Ruxa: an AI API services platform that can prove its privacy policy."""
