"""The room dialects: wire formats, pure functions of bytes. Nothing here knows a socket, a clock or a file.

The contract is ``dialect.py``; one folder per dialect fulfils it; ``usage.py`` is the vector that all of them read
answers into; ``paths.py`` tells which dialect a request speaks and finds its key; ``shape.py`` knows a call's settings
again. A new dialect is a folder and a line.
"""

from __future__ import annotations

from ruxa.dialects.anthropic_messages import count as anthropic_count
from ruxa.dialects.anthropic_messages.format import AnthropicMessages
from ruxa.dialects.anthropic_messages.translator import MessagesTranslator
from ruxa.dialects.dialect import Dialect, Name
from ruxa.dialects.gemini_generate import count as gemini_count
from ruxa.dialects.gemini_generate.format import GeminiGenerate
from ruxa.dialects.gemini_generate.translator import GenerateEmbedder, GenerateTranslator
from ruxa.dialects.openai_chat.format import OpenAIChat
from ruxa.dialects.openai_chat.translator import ChatTranslator
from ruxa.dialects.openai_media.format import OpenAIMedia
from ruxa.dialects.openai_responses.format import OpenAIResponses
from ruxa.dialects.openai_responses.translator import ResponsesTranslator
from ruxa.dialects.translator import Counter, Embedder, Translator

DIALECTS: dict[Name, Dialect] = {
    "openai_chat": OpenAIChat(),
    "openai_responses": OpenAIResponses(),
    "openai_media": OpenAIMedia(),
    "anthropic_messages": AnthropicMessages(),
    "gemini_generate": GeminiGenerate(),
}

_CHAT = ChatTranslator()
TRANSLATORS: dict[Name, Translator] = {
    "openai_chat": _CHAT,
    "openai_responses": ResponsesTranslator(),
    "anthropic_messages": MessagesTranslator(),
    "gemini_generate": GenerateTranslator(),
}
EMBEDDERS: dict[Name, Embedder] = {"openai_chat": _CHAT, "gemini_generate": GenerateEmbedder()}
COUNTERS: dict[Name, Counter] = {"anthropic_messages": anthropic_count, "gemini_generate": gemini_count}
