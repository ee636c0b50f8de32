"""OpenAI's wire format beside chat: images, audio, moderations (shapes as of openai-python 3.54, 2026-11)."""
