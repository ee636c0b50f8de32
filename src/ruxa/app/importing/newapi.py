"""Reads channels and tokens of New API or One API: an export as JSON, or the SQLite database file itself.

Schemas as of New API 1.0 (``model/channel.go``, ``model/token.go``) and One API 0.6. Both number the kinds of
channels, the same up to 23 and each in its own way after. 500,000 units of quota are one US dollar in both.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeGuard

from ruxa.app.importing import records
from ruxa.app.importing.plan import By, Draft, Key, Model, Plan, Target, model_name
from ruxa.kernel.errors import InvalidCall

FILE_BYTES_MAX = 512 * 1024 * 1024
QUOTA_MICROS = 2  # one unit of quota: a 500,000th of a US dollar
_SQLITE = b"SQLite format 3\0"

Row = dict[str, Any]
Kind = tuple[str, str, str]
"""Provider here ('' for one known by its address alone), dialect, and the address that the other gateway knows."""

_SHARED: dict[int, Kind] = {
    1: ("openai", "openai_chat", ""),
    6: ("", "openai_chat", "https://api.openaimax.com/v1"),
    7: ("", "openai_chat", "https://api.ohmygpt.com/v1"),
    8: ("", "openai_chat", ""),
    14: ("anthropic", "anthropic_messages", ""),
    20: ("openrouter", "openai_chat", ""),
}
_NEW_API = _SHARED | {
    4: ("ollama", "openai_chat", ""),
    17: ("", "openai_chat", "https://dashscope.aliyuncs.com/compatible-mode/v1"),
    24: ("google", "gemini_generate", ""),
    25: ("", "openai_chat", "https://api.moonshot.cn/v1"),
    26: ("", "openai_chat", "https://open.bigmodel.cn/api/paas/v4"),
    27: ("", "openai_chat", "https://api.perplexity.ai"),
    31: ("", "openai_chat", "https://api.lingyiwanwu.com/v1"),
    35: ("", "openai_chat", "https://api.minimax.chat/v1"),
    40: ("", "openai_chat", "https://api.siliconflow.cn/v1"),
    42: ("mistral", "openai_chat", ""),
    43: ("deepseek", "openai_chat", ""),
    45: ("", "openai_chat", "https://ark.cn-beijing.volces.com/api/v3"),
    46: ("", "openai_chat", "https://qianfan.baidubce.com/v2"),
    47: ("", "openai_chat", ""),
    48: ("xai", "openai_chat", ""),
}
_ONE_API = _SHARED | {
    24: ("google", "gemini_generate", ""),
    25: ("", "openai_chat", "https://api.moonshot.cn/v1"),
    26: ("", "openai_chat", "https://api.baichuan-ai.com/v1"),
    27: ("", "openai_chat", "https://api.minimax.chat/v1"),
    28: ("mistral", "openai_chat", ""),
    29: ("groq", "openai_chat", ""),
    30: ("ollama", "openai_chat", ""),
    31: ("", "openai_chat", "https://api.lingyiwanwu.com/v1"),
    32: ("", "openai_chat", "https://api.stepfun.com/v1"),
    36: ("deepseek", "openai_chat", ""),
    39: ("together", "openai_chat", ""),
    40: ("", "openai_chat", "https://ark.cn-beijing.volces.com/api/v3"),
    41: ("", "openai_chat", "https://api.novita.ai/v3/openai"),
    44: ("", "openai_chat", "https://api.siliconflow.cn/v1"),
    45: ("xai", "openai_chat", ""),
    50: ("", "openai_chat", ""),
}
# Columns that only New API has.
_NEW_ONLY = frozenset({"setting", "tag", "auto_ban", "channel_info", "param_override", "settings"})
_VENDOR_HOSTS = {
    "openai": "https://api.openai.com",
    "anthropic": "https://api.anthropic.com",
    "google": "https://generativelanguage.googleapis.com",
    "openrouter": "https://openrouter.ai/api",
    "mistral": "https://api.mistral.ai",
    "deepseek": "https://api.deepseek.com",
    "groq": "https://api.groq.com/openai",
    "xai": "https://api.x.ai",
    "together": "https://api.together.xyz",
}
_SETTINGS = (
    ("param_override", "parameters are passed as callers send them"),
    ("header_override", "headers are passed by an allow-list"),
    ("status_code_mapping", "a provider's error keeps its meaning"),
    ("openai_organization", "the organisation belongs to the key at the provider"),
    ("system_prompt", "no words are put before a caller's own"),
)


def read_file(path: Path) -> Plan:
    """The plan of a file. Raises InvalidCall: too large, neither SQLite nor JSON, without channels."""
    if path.stat().st_size > FILE_BYTES_MAX:
        raise InvalidCall("That file is too large for an export of channels.", code="bad_import")
    with path.open("rb") as file:
        start = file.read(len(_SQLITE))
    if start == _SQLITE:
        channels, tokens = _from_database(path)
    else:
        channels, tokens = _from_json(path)
    if not channels and not tokens:
        raise InvalidCall("That file holds no channels.", code="bad_import")
    return read(channels, tokens)


def read(channels: list[Row], tokens: list[Row]) -> Plan:
    """The plan of rows."""
    newer = any(not _NEW_ONLY.isdisjoint(channel) for channel in channels)
    draft = Draft("New API" if newer or not channels else "One API")
    offers: dict[str, list[tuple[int, Target]]] = {}
    for channel in channels:
        _channel(draft, channel, _NEW_API if newer else _ONE_API, offers)
    for name, found in offers.items():
        _route(draft, name, found)
    for token in tokens:
        _token(draft, token)
    return draft.plan()


def _channel(
    draft: Draft, channel: Row, kinds: Mapping[int, Kind], offers: dict[str, list[tuple[int, Target]]]
) -> None:
    title = _text(channel.get("name")) or "unnamed"
    where = f"channel {channel.get('id', '?')} ({title})"
    if _whole(channel.get("status"), 1) != 1:
        draft.leave(where, "it is disabled")
        return
    kind = kinds.get(_whole(channel.get("type"), 0))
    if kind is None:
        draft.leave(where, f"no provider here speaks for channels of type {channel.get('type')}")
        return
    vendor, dialect, known = kind
    base_url = _base_url(vendor, dialect, _text(channel.get("base_url")), known)
    if not vendor and base_url is None:
        draft.leave(where, "it has no base_url")
        return
    secrets = _secrets(_text(channel.get("key")))
    if len(secrets) > 1:
        draft.leave(where, f"it has {len(secrets)} keys: one is planned, for a provider here has one")
    source = draft.source(
        vendor,
        secret=secrets[0] if secrets else "",
        base_url=base_url,
        dialect=dialect,
        key="" if vendor == "ollama" and not secrets else None,
        found_at=f"the key of {where}",
    )
    mapping = _mapping(draft, where, channel)
    for public in _names(channel.get("models")):
        upstream = mapping.get(public, public)
        full = model_name(source.name, upstream)
        if full is None:
            draft.leave(where, f"no model can be called {upstream[:80]!r}")
            continue
        draft.model(Model(name=full))
        weight = max(_whole(channel.get("weight"), 0), 1)
        offers.setdefault(public, []).append((_whole(channel.get("priority"), 0), Target(full, weight)))
    groups = [name for name in _names(channel.get("group")) if name != "default"]
    if groups:
        draft.leave(
            f"{where}.group", f"groups ({', '.join(groups)[:80]}) have no match; give keys their models instead"
        )
    for field, why in _SETTINGS:
        if _text(channel.get(field)) not in ("", "{}", "null"):
            draft.leave(f"{where}.{field}", why)


def _route(draft: Draft, name: str, found: list[tuple[int, Target]]) -> None:
    where = f"model {name}"
    priorities = {priority for priority, _ in found}
    by: By = "weight"
    if len(priorities) > 1:
        by = "order"
        if len(found) > len(priorities):
            draft.leave(
                where, "channels of one priority shared the load; with others behind them they are tried in order"
            )
    targets = [target for _, target in sorted(found, key=lambda each: (-each[0], -each[1].weight))]
    draft.route(where, name, targets, by)


def _token(draft: Draft, token: Row) -> None:
    name = _text(token.get("name")) or f"token {token.get('id', '?')}"
    where = f"token {token.get('id', '?')} ({name})"
    if token.get("deleted_at"):
        return
    if _whole(token.get("status"), 1) != 1:
        draft.leave(where, "it is disabled, expired or used up")
        return
    expires = _whole(token.get("expired_time"), -1)
    limited = _truth(token.get("model_limits_enabled"))
    models = tuple(_names(token.get("model_limits") if limited else token.get("models")))
    budget = (
        None if _truth(token.get("unlimited_quota")) else max(_whole(token.get("remain_quota"), 0), 0) * QUOTA_MICROS
    )
    if budget == 0:
        draft.leave(where, "nothing is left of its quota")
        return
    draft.keys.append(
        Key(
            name=name[:100],
            models=models or None,
            budget_micros=budget,
            budget_period=None if budget is None else "total",
            expires_at=datetime.fromtimestamp(expires, UTC) if 0 < expires < 2**40 else None,
        )
    )
    for field, why in (
        ("allow_ips", "keys here are not bound to addresses"),
        ("subnet", "keys here are not bound to addresses"),
        ("group", "groups have no match here; its models are planned"),
    ):
        if _text(token.get(field)) not in ("", "default"):
            draft.leave(f"{where}.{field}", why)


def _base_url(vendor: str, dialect: str, told: str, known: str) -> str | None:
    """Where the provider is; None for the vendor's own address. Theirs end without the version, ours with it."""
    url = told.rstrip("/")
    if not url:
        return known or None
    if url == _VENDOR_HOSTS.get(vendor):
        return None
    version = "v1beta" if dialect == "gemini_generate" else "v1"
    last = url.rpartition("/")[2]
    return url if last.startswith("v") and last[1:2].isdigit() else f"{url}/{version}"


def _secrets(key: str) -> list[str]:
    return [line.strip() for line in key.splitlines() if line.strip()]


def _mapping(draft: Draft, where: str, channel: Row) -> dict[str, str]:
    text = _text(channel.get("model_mapping"))
    try:
        told: Any = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        told = None
    if not _is_row(told):
        draft.leave(f"{where}.model_mapping", "it is no JSON object")
        return {}
    return {name: value.strip() for name, value in told.items() if isinstance(value, str) and value.strip()}


def _from_database(path: Path) -> tuple[list[Row], list[Row]]:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            database.row_factory = sqlite3.Row
            return _rows(database, records.CHANNELS), _rows(database, records.TOKENS)
    except sqlite3.Error:
        raise InvalidCall("That database holds no channels.", code="bad_import") from None


def _rows(database: sqlite3.Connection, sql: str) -> list[Row]:
    return [dict(row) for row in database.execute(sql)]


def _from_json(path: Path) -> tuple[list[Row], list[Row]]:
    """A list of channels, as the API answers it (``data``, ``data.items``), or ``channels`` and ``tokens``."""
    try:
        told: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        raise InvalidCall("That file is neither JSON nor a SQLite database.", code="bad_import") from None
    tokens: Any = []
    while _is_row(told):
        tokens = told.get("tokens", tokens)
        told = told.get("channels", told.get("data", told.get("items")))
    return _row_list(told), _row_list(tokens)


def _row_list(value: Any) -> list[Row]:
    return [row for row in value if _is_row(row)] if _is_list(value) else []


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_row(value: Any) -> TypeGuard[Row]:
    return isinstance(value, dict)


def _names(value: Any) -> list[str]:
    return [name.strip() for name in _text(value).split(",") if name.strip()]


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _truth(value: Any) -> bool:
    return value in (1, True, "1", "true")
