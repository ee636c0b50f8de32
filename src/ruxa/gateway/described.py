"""The gateway's part of the platform API as OpenAPI 3.1: one route, beside those that the console describes (D2).

Plain data, so that the console's process needs nothing else of this room.
"""

from __future__ import annotations

from typing import Any, Final

_MICROS: Final = "USD micros per million units; the member units says what the input counts."
_SECONDS: Final = (
    "USD micros per million tokens of audio; of seconds of audio, which are the input, where units is seconds."
)
_LIMIT: Final = "Tokens at most; null when it is not known."

_RECIPIENT: Final[dict[str, Any]] = {
    "type": "object",
    "title": "ModelRecipient",
    "description": "Who gets what a call sends, and what it says about keeping it.",
    "required": ["who", "where", "retention_days", "trains"],
    "additionalProperties": False,
    "properties": {
        "who": {"type": "string"},
        "where": {"type": "string", "description": "Country of its seat; own for this installation."},
        "retention_days": {"type": ["integer", "null"], "description": "0 with zero retention; null when unknown."},
        "trains": {"type": ["boolean", "null"], "description": "Null when it is not publicly stated."},
    },
}
_MODEL: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Model",
    "required": [
        "model",
        "provider",
        "aliases",
        "dialects",
        "scope",
        "input_micros_per_mtok",
        "output_micros_per_mtok",
        "audio_input_micros_per_mtok",
        "image_micros",
        "units",
        "input_tokens_max",
        "output_tokens_max",
        "recipient",
    ],
    "additionalProperties": False,
    "properties": {
        "model": {"type": "string"},
        "provider": {"type": "string"},
        "aliases": {"type": "array", "items": {"type": "string"}, "description": "Other names of the model."},
        "dialects": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Dialects that its provider speaks; calls in the others are translated.",
        },
        "scope": {"type": "string", "enum": ["sandbox", "live"], "description": "Which money pays for it."},
        "input_micros_per_mtok": {"type": "integer", "description": _MICROS},
        "output_micros_per_mtok": {"type": "integer", "description": _MICROS},
        "audio_input_micros_per_mtok": {"type": "integer", "description": _SECONDS},
        "image_micros": {"type": "integer", "description": "Micros of a US dollar an image, where it is priced so."},
        "units": {
            "type": "string",
            "enum": ["tokens", "seconds", "characters"],
            "description": "What the input counts: tokens, seconds of audio (audio input), characters to be spoken.",
        },
        "input_tokens_max": {"type": ["integer", "null"], "description": _LIMIT},
        "output_tokens_max": {"type": ["integer", "null"], "description": _LIMIT},
        "recipient": {"$ref": "#/components/schemas/ModelRecipient"},
    },
}
OPENAPI: Final[dict[str, Any]] = {
    "paths": {
        "/api/v1/models": {
            "get": {
                "operationId": "models_list",
                "tags": ["Models"],
                "summary": "The models that the key can use, with dialects, prices and recipients",
                "security": [{"key": []}],
                "responses": {
                    "200": {
                        "description": "The models.",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ModelList"}}},
                    }
                },
            }
        }
    },
    "schemas": {
        "ModelList": {
            "type": "object",
            "title": "ModelList",
            "required": ["models", "routes"],
            "additionalProperties": False,
            "properties": {
                "models": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}},
                "routes": {"type": "array", "items": {"$ref": "#/components/schemas/ModelRoute"}},
            },
        },
        "Model": _MODEL,
        "ModelRoute": {
            "type": "object",
            "title": "ModelRoute",
            "description": "A name that stands for other models; a call is priced as the target that answers it.",
            "required": ["name", "targets"],
            "additionalProperties": False,
            "properties": {"name": {"type": "string"}, "targets": {"type": "array", "items": {"type": "string"}}},
        },
        "ModelRecipient": _RECIPIENT,
    },
}
