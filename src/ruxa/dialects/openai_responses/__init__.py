"""OpenAI's wire format of responses: typed items in and out (shapes as of openai-python 3.54, 2026-11)."""
