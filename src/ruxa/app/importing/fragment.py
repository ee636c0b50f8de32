"""The part of a plan that belongs into ``ruxa.toml``: providers with references to their keys, models with prices."""

from __future__ import annotations

import json

from ruxa.app.importing.plan import Model, Plan, Source

_PRICES = (
    ("input_micros", "input_micros_per_mtok"),
    ("output_micros", "output_micros_per_mtok"),
    ("cache_read_micros", "cache_read_micros_per_mtok"),
    ("input_tokens_max", "input_tokens_max"),
    ("output_tokens_max", "output_tokens_max"),
)


def write(plan: Plan) -> str:
    """TOML. Holds references to secrets and never one."""
    lines = [f"# Taken over from {plan.origin}. Each key is named by a variable: set it where Ruxa runs."]
    for source in plan.providers:
        lines += ["", *_source(source)]
    for model in plan.models:
        stated = _model(model)
        if len(stated) > 1:
            lines += ["", *stated]
    return "\n".join(lines) + "\n"


def _source(source: Source) -> list[str]:
    lines = [f"[providers.{_key(source.name)}]"]
    for name in ("base_url", "dialect", "key"):
        value = getattr(source, name)
        if value is not None:
            lines.append(f"{name} = {_text(value)}")
    return lines


def _model(model: Model) -> list[str]:
    lines = [f"[models.{_text(model.name)}]"]
    for field, name in _PRICES:
        value = getattr(model, field)
        if value is not None:
            lines.append(f"{name} = {value}")
    return lines


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else _text(name)


def _text(value: str) -> str:
    """A TOML basic string; JSON's escapes are TOML's."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
