"""Anthropic's wire format: messages, token counts and model lists (shapes as of anthropic-python 2.12, 2026-11)."""
