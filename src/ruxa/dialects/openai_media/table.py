"""The envelopes of images, audio and moderations, as of 2026-11-24 (openai-python 3.54). See ``table.py``.

Of a form every value is text, so kinds say nothing there; a name in brackets (``image[]``) counts as the one before.
"""

from __future__ import annotations

from ruxa.dialects.body import ARRAY, BOOL, NULL, NUMBER, OBJECT, STRING
from ruxa.dialects.dialect import Endpoint
from ruxa.dialects.table import Field, Table

_NUMBER = Field("parameter", NUMBER | NULL)
_STRING = Field("parameter", STRING | NULL)
_BOOL = Field("parameter", BOOL | NULL)
_IDENTITY = Field("identity", STRING | NULL)
_TEXT = Field("content", STRING)
_FILE = Field("content", STRING | ARRAY)

_MAKING: Table = {
    "prompt": _TEXT,
    "model": Field("parameter", STRING),
    "n": _NUMBER,
    "size": _STRING,
    "quality": _STRING,
    "background": _STRING,
    "moderation": _STRING,
    "output_compression": _NUMBER,
    "partial_images": _NUMBER,
    "response_format": _STRING,
    "style": _STRING,
    "complexity": _STRING,
    "stream": _BOOL,
    "user": _IDENTITY,
    "safety_identifier": _IDENTITY,
    # A GIF is many images, an SVG is another model's text.
    "output_format": Field("price", STRING | NULL, frozenset({b'"png"', b'"jpeg"', b'"webp"'})),
    "frame_count": Field("price", NUMBER | NULL),
    "frame_duration_ms": _NUMBER,
    "svg": Field("price", OBJECT | NULL),
}
IMAGES: Table = _MAKING
EDITS: Table = {
    **_MAKING,
    "image": _FILE,
    "mask": _FILE,
    "markup": _FILE,
    "input_fidelity": _STRING,
}
SPEECH: Table = {
    "input": _TEXT,
    "model": Field("parameter", STRING),
    "voice": Field("parameter", STRING | OBJECT),
    "instructions": Field("content", STRING | NULL),
    "response_format": _STRING,
    "speed": _NUMBER,
    "stream_format": _STRING,
}
TRANSCRIPTIONS: Table = {
    "file": _FILE,
    "model": Field("parameter", STRING),
    "language": _STRING,
    "languages": _STRING,
    "prompt": _TEXT,
    "keywords": _TEXT,
    "known_speaker_names": _TEXT,
    "known_speaker_references": _TEXT,
    "response_format": _STRING,
    "temperature": _NUMBER,
    "timestamp_granularities": _STRING,
    "include": _STRING,
    "chunking_strategy": _STRING,
    "stream": _BOOL,
}
TRANSLATIONS: Table = {
    "file": _FILE,
    "model": Field("parameter", STRING),
    "prompt": _TEXT,
    "response_format": _STRING,
    "temperature": _NUMBER,
}
MODERATIONS: Table = {
    "input": Field("content", STRING | ARRAY),
    "model": Field("parameter", STRING | NULL),
}

FORMS: dict[Endpoint, Table] = {
    "image_edits": EDITS,
    "transcriptions": TRANSCRIPTIONS,
    "translations": TRANSLATIONS,
}
BODIES: dict[Endpoint, Table] = {"images": IMAGES, "speech": SPEECH, "moderations": MODERATIONS}
# What may come more than once in a form without brackets.
REPEATED = frozenset({"image", "include", "languages", "keywords", "timestamp_granularities"})
