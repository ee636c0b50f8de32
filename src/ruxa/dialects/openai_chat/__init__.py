"""OpenAI's wire format: chat completions, embeddings and model lists (shapes as of openai-python 3.54, 2026-11)."""
