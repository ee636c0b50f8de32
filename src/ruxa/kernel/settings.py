"""Settings: what a process needs to start, frozen and typed; where each value came from is remembered.

Defaults < ``ruxa.toml`` < ``RUXA_*`` < command line. Secrets come only from files or the environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

Role = Literal["all", "gateway", "console", "worker"]


class ProviderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[providers.NAME]``: base URL, key (``env:NAME`` or ``file:PATH``), dialect when the catalogue lacks it."""

    base_url: str | None = None
    key: str | None = None
    dialect: str | None = None
    pass_fields: tuple[str, ...] = ()


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[models."provider/name"]``: prices (micros per million tokens) and limits (tokens) over the catalogue."""

    input_micros_per_mtok: int | None = None
    output_micros_per_mtok: int | None = None
    cache_read_micros_per_mtok: int | None = None
    cache_write_5m_micros_per_mtok: int | None = None
    cache_write_1h_micros_per_mtok: int | None = None
    input_tokens_max: int | None = None
    output_tokens_max: int | None = None
    upstream_model: str | None = None
    aliases: tuple[str, ...] = ()


class MailSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[mail]``: ``smtp://host:port`` or ``outbox:`` (kept in the console)."""

    url: str = "outbox:"
    sender: str = "Ruxa <no-reply@localhost>"


class EgressSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[egress]``: ``allow_loopback`` concerns URLs that customers supply, in development only."""

    allow_loopback: bool = False


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One process's settings; paths absolute."""

    host: str = "127.0.0.1"
    port: int = 8000
    data: Path = Path(".ruxa")
    keys: Path = Path(".ruxa-keys")
    config: Path | None = None
    role: Role = "all"
    workers: int = 1
    demo: bool = True
    simulated: bool = False
    clock_offset_s: int = 0
    database_url: str | None = None
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    body_bytes_max: int = 32 * 1024 * 1024
    output_tokens_default: int = 4096
    trial_micros: int = 0
    metrics_token: str | None = None
    providers: dict[str, ProviderSettings] = msgspec.field(default_factory=dict[str, ProviderSettings])
    models: dict[str, ModelSettings] = msgspec.field(default_factory=dict[str, ModelSettings])
    mail: MailSettings = MailSettings()
    egress: EgressSettings = EgressSettings()
    origins: dict[str, str] = msgspec.field(default_factory=dict[str, str])
