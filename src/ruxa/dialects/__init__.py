"""The room dialects: wire formats, pure functions of bytes. Nothing here knows a socket, a clock or a file.

The contract is ``dialect.py``; one folder per dialect fulfils it; ``usage.py`` is the vector that all of them read
answers into; ``paths.py`` tells which dialect a request speaks and finds its key; ``shape.py`` knows a call's settings
again. A new dialect is a folder and a line.
"""

from __future__ import annotations

from ruxa.dialects.anthropic_messages.format import AnthropicMessages
from ruxa.dialects.dialect import Dialect, Name
from ruxa.dialects.gemini_generate.format import GeminiGenerate
from ruxa.dialects.openai_chat.format import OpenAIChat
from ruxa.dialects.translator import Embedder, Translator

DIALECTS: dict[Name, Dialect] = {
    "openai_chat": OpenAIChat(),
    "anthropic_messages": AnthropicMessages(),
    "gemini_generate": GeminiGenerate(),
}

TRANSLATORS: dict[Name, Translator] = {}
EMBEDDERS: dict[Name, Embedder] = {}
