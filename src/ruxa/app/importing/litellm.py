"""Reads a LiteLLM proxy's ``config.yaml``, and its list of virtual keys (``GET /key/list?return_full_object=true``).

As of LiteLLM 1.106: ``model_list`` with ``litellm_params``, ``router_settings`` and ``litellm_settings``. A public
``model_name`` becomes a route to its deployments, its fallbacks behind them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeGuard

import yaml

from ruxa.app.importing.plan import By, Draft, Key, Model, Period, Plan, Target, model_name
from ruxa.kernel.errors import InvalidCall

FILE_BYTES_MAX = 8 * 1024 * 1024
Table = dict[str, Any]

# LiteLLM's word before the slash -> the provider here, and its dialect at an address of one's own.
VENDORS: dict[str, tuple[str, str]] = {
    "openai": ("openai", "openai_chat"),
    "text-completion-openai": ("openai", "openai_chat"),
    "custom_openai": ("", "openai_chat"),
    "openai_like": ("", "openai_chat"),
    "anthropic": ("anthropic", "anthropic_messages"),
    "gemini": ("google", "gemini_generate"),
    "mistral": ("mistral", "openai_chat"),
    "groq": ("groq", "openai_chat"),
    "deepseek": ("deepseek", "openai_chat"),
    "openrouter": ("openrouter", "openai_chat"),
    "together_ai": ("together", "openai_chat"),
    "fireworks_ai": ("fireworks", "openai_chat"),
    "xai": ("xai", "openai_chat"),
    "ollama": ("ollama", "openai_chat"),
    "ollama_chat": ("ollama", "openai_chat"),
    "hosted_vllm": ("vllm", "openai_chat"),
    "lm_studio": ("", "openai_chat"),
}
_KEYLESS = frozenset({"ollama", "vllm"})
# What people write for a server that asks for no key, where the client insists on one.
_NO_KEY = frozenset({"none", "null", "dummy", "empty", "no-key", "not-needed", "na", "n/a"})
_BARE = (("gpt-", "openai"), ("chatgpt-", "openai"), ("text-embedding-", "openai"), ("claude-", "anthropic"))
_REASONERS = re.compile(r"o\d(-|\Z)")
# What a deployment says that is taken over, or says nothing to a caller.
_READ = frozenset(
    {
        "model",
        "api_base",
        "base_url",
        "api_key",
        "input_cost_per_token",
        "output_cost_per_token",
        "cache_read_input_token_cost",
        "weight",
        "order",
        "custom_llm_provider",
    }
)
_STRATEGIES: dict[str, By] = {
    "simple-shuffle": "weight",
    "latency-based-routing": "latency",
    "cost-based-routing": "price",
}
_PERIODS: dict[str, Period] = {
    "1d": "day",
    "24h": "day",
    "daily": "day",
    "30d": "month",
    "1mo": "month",
    "monthly": "month",
}
_VERSIONED = re.compile(r"/v\d+(beta)?(/openai)?/?\Z")


def read(text: str, key_list: str | None = None) -> Plan:
    """The plan. Raises InvalidCall: no YAML, no LiteLLM config, too large."""
    if len(text) > FILE_BYTES_MAX:
        raise InvalidCall("That file is too large for a LiteLLM config.", code="bad_import")
    try:
        config: Any = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        raise InvalidCall("That file is not YAML.", code="bad_import") from None
    if not _is_table(config) or not any(
        name in config for name in ("model_list", "litellm_settings", "general_settings")
    ):
        raise InvalidCall("That file is not a LiteLLM config: it has no model_list.", code="bad_import")
    draft = Draft("LiteLLM")
    _Config(draft, config).read()
    if key_list is not None:
        _read_keys(draft, key_list)
    return draft.plan()


class _Config:
    """One config under way."""

    def __init__(self, draft: Draft, config: Table) -> None:
        self._draft = draft
        self._config = config
        self._deployments: dict[str, list[tuple[Target, int | None, int | None]]] = {}

    def read(self) -> None:
        for index, entry in enumerate(_list(self._config.get("model_list"))):
            self._deployment(f"model_list[{index}]", entry)
        router, settings = _table(self._config.get("router_settings")), _table(self._config.get("litellm_settings"))
        fallbacks = self._fallbacks(router, "router_settings") | self._fallbacks(settings, "litellm_settings")
        by = self._strategy(router)
        for name in self._deployments:
            self._route(name, fallbacks.get(name, []), by)
        self._aliases(router, settings)
        for section in self._config:
            self._leave_rest(str(section), _table(self._config[section]))

    def _deployment(self, where: str, entry: Any) -> None:
        draft = self._draft
        entry = _table(entry)
        params = _table(entry.get("litellm_params"))
        info = _table(entry.get("model_info"))
        public, told = _text(entry.get("model_name")), _text(params.get("model"))
        if not public or not told:
            draft.leave(where, "it has no model_name or no litellm_params.model")
            return
        where = f"{where} ({public})"
        vendor, model = _vendor(told, _text(params.get("custom_llm_provider")))
        if vendor not in VENDORS:
            draft.leave(where, f"no provider here speaks for {vendor or told!r}")
            return
        name, dialect = VENDORS[vendor]
        base_url = _base_url(name, dialect, _text(params.get("api_base")) or _text(params.get("base_url")))
        if not name and base_url is None:
            draft.leave(where, "it has no api_base")
            return
        if base_url is not None and base_url.startswith("os.environ/"):
            draft.leave(where, f"its address stands in the variable {base_url[11:]}: write base_url by hand")
            return
        key, secret, found_at = _secret(params.get("api_key"), name, f"{where}.litellm_params.api_key")
        if _text(params.get("api_key")).lower() in _NO_KEY and base_url is not None:
            key, secret, found_at = "", "", ""
        elif name in _KEYLESS and not params.get("api_key"):
            key = ""
        source = draft.source(name, secret=secret, base_url=base_url, dialect=dialect, key=key, found_at=found_at)
        if "*" in model or "*" in public:
            draft.leave(where, f"a pattern of names: every priced model answers as {source.name}/NAME here")
            return
        full = model_name(source.name, model)
        if full is None:
            draft.leave(where, f"no model can be called {told[:80]!r}")
            return
        draft.model(_priced(draft, where, full, params, info))
        target = Target(full, max(_whole(params.get("weight")) or 1, 1))
        self._deployments.setdefault(public, []).append(
            (target, _whole(params.get("weight")), _whole(params.get("order")))
        )
        for field in params:
            if field not in _READ and params[field] is not None:
                draft.leave(f"{where}.litellm_params.{field}", _why(str(field)))

    def _route(self, name: str, fallbacks: list[str], by: By) -> None:
        own = self._deployments[name]
        where = f"model_list ({name})"
        if any(order is not None for _, _, order in own):
            own = sorted(own, key=lambda each: each[2] if each[2] is not None else 10**9)
            by = "order"
        targets = [target for target, _, _ in own]
        behind = [target for each in fallbacks for target, _, _ in self._deployments.get(each, [])]
        if behind and len(targets) > 1 and by != "order":
            self._draft.leave(
                where, "its deployments shared the load; with fallbacks behind them they are tried in order"
            )
        if behind:
            by = "order"
        elif by == "weight" and len({target.model for target in targets}) < len(targets):
            self._draft.leave(where, "two deployments are the same model of the same provider here")
        self._draft.route(where, name, [*targets, *behind], by)

    def _strategy(self, router: Table) -> By:
        told = _text(router.pop("routing_strategy", "")) or "simple-shuffle"
        if told not in _STRATEGIES:
            self._draft.leave("router_settings.routing_strategy", f"{told!r} has no match: deployments share by weight")
        return _STRATEGIES.get(told, "weight")

    def _fallbacks(self, section: Table, where: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for entry in _list(section.pop("fallbacks", None)):
            for name, others in _table(entry).items():
                known = [other for other in map(_text, _list(others)) if other in self._deployments]
                for other in _list(others):
                    if _text(other) not in self._deployments:
                        self._draft.leave(
                            f"{where}.fallbacks.{name}", f"{_text(other)!r} is no model that was taken over"
                        )
                if name in self._deployments:
                    found.setdefault(str(name), []).extend(known)
                else:
                    self._draft.leave(f"{where}.fallbacks.{name}", "it is no model that was taken over")
        return found

    def _aliases(self, router: Table, settings: Table) -> None:
        for section, where in ((router, "router_settings"), (settings, "litellm_settings")):
            for field in ("model_group_alias", "model_alias_map"):
                for alias, told in _table(section.pop(field, None)).items():
                    name = _text(told) or _text(_table(told).get("model"))
                    route = self._draft.routes.get(name)
                    if route is None:
                        self._draft.leave(f"{where}.{field}.{alias}", f"{name!r} is no model that was taken over")
                    else:
                        self._draft.route(f"{where}.{field}.{alias}", str(alias), route.targets, route.by)

    def _leave_rest(self, name: str, section: Table) -> None:
        if name == "model_list":
            return
        for field, value in section.items():
            if value is not None:
                self._draft.leave(f"{name}.{field}", _why(str(field)))
        if not section and name not in ("router_settings", "litellm_settings", "general_settings"):
            self._draft.leave(name, _why(name))


_WHY = {
    "rpm": "limits stand at keys here, not at a deployment",
    "tpm": "limits stand at keys here, not at a deployment",
    "max_parallel_requests": "limits stand at keys here, not at a deployment",
    "master_key": "who runs this installation signs in (`ruxa operator add`); there is no master key",
    "max_budget": "a budget stands at a key or an organisation here: `ruxa key create --budget-micros`",
    "budget_duration": "a budget stands at a key or an organisation here: `ruxa key create --budget-micros`",
    "database_url": "the other gateway's database is not this one's",
    "api_version": "addresses with an API version are not spoken; use the provider's /v1 address",
    "context_window_fallbacks": "a fallback follows a failure here, whatever the reason",
    "content_policy_fallbacks": "a fallback follows a failure here, whatever the reason",
    "default_fallbacks": "a fallback belongs to a name here: `ruxa route set`",
    "cache": "a caller asks for it by call here: the header ruxa-cache (repeat calls)",
    "cache_params": "a caller asks for it by call here: the header ruxa-cache (repeat calls)",
    "drop_params": "what a provider cannot take is left out and named in ruxa-lossy, or refused with ruxa-strict",
    "environment_variables": "set variables where Ruxa runs",
}


def _why(field: str) -> str:
    return _WHY.get(field, "it has no match here")


def _vendor(told: str, custom: str) -> tuple[str, str]:
    """LiteLLM's provider and the model as that provider names it."""
    before, slash, after = told.partition("/")
    if slash and (before in VENDORS or not custom):
        return before, after
    if custom:
        return custom, told
    bare = next((vendor for start, vendor in _BARE if told.startswith(start)), "")
    return ("openai" if _REASONERS.match(told) else bare), told


def _base_url(name: str, dialect: str, told: str) -> str | None:
    """An address of one's own; None for the vendor's. Ours end with the version where LiteLLM's may not."""
    url = told.rstrip("/")
    if not url or url.startswith("os.environ/"):
        return url or None
    if dialect == "gemini_generate":
        url = url if _VERSIONED.search(url) else f"{url}/v1beta"
    elif dialect == "anthropic_messages" or name == "ollama":
        url = url.removesuffix("/v1/messages")
        url = url if _VERSIONED.search(url) else f"{url}/v1"
    return None if url in _HOMES else url


_HOMES = frozenset(
    {
        "https://api.openai.com/v1",
        "https://api.anthropic.com/v1",
        "https://generativelanguage.googleapis.com/v1beta",
        "https://api.mistral.ai/v1",
        "https://api.groq.com/openai/v1",
        "https://api.deepseek.com/v1",
        "https://openrouter.ai/api/v1",
        "https://api.together.xyz/v1",
        "https://api.fireworks.ai/inference/v1",
        "https://api.x.ai/v1",
    }
)


def _secret(told: Any, vendor: str, where: str) -> tuple[str | None, str, str]:
    """The reference to use (None: to be made up), what tells this secret from others, and where it is now."""
    text = _text(told)
    if text.startswith("os.environ/"):
        name = text[11:]
        return f"env:{name}", f"env:{name}", f"the variable {name}"
    if text:
        return None, text, where
    return None, "", f"the variable that LiteLLM reads for {vendor}" if vendor else ""


def _priced(draft: Draft, where: str, name: str, params: Table, info: Table) -> Model:
    told = {**info, **{field: value for field, value in params.items() if value is not None}}
    prices: dict[str, int | None] = {}
    for field, ours in (
        ("input_cost_per_token", "input_micros"),
        ("output_cost_per_token", "output_micros"),
        ("cache_read_input_token_cost", "cache_read_micros"),
    ):
        value = told.get(field)
        if value is not None:
            prices[ours] = _micros(value, 12)
            if prices[ours] is None:
                draft.leave(f"{where}.{field}", "it is no price")
    return Model(
        name=name,
        input_tokens_max=_whole(told.get("max_input_tokens")),
        output_tokens_max=_whole(told.get("max_output_tokens")),
        **prices,
    )


def _micros(value: Any, places: int) -> int | None:
    """USD times ten to the power of ``places``, as a whole number; None when it is no amount."""
    try:
        amount = Decimal(str(value)).scaleb(places)
        return int(amount.to_integral_value()) if 0 <= amount < 2**62 else None
    except (InvalidOperation, ValueError):
        return None


def _read_keys(draft: Draft, text: str) -> None:
    """Virtual keys live in LiteLLM's database; this is how its API lists them."""
    try:
        told: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidCall("The list of keys is not JSON.", code="bad_import") from None
    entries: Any = told.get("keys") if _is_table(told) else told
    for index, entry in enumerate(_list(entries)):
        if not _is_table(entry):
            draft.leave(f"keys[{index}]", "only its hash is told: list keys with return_full_object=true")
            continue
        _read_key(draft, f"keys[{index}]", entry)


def _read_key(draft: Draft, where: str, entry: Table) -> None:
    name = _text(entry.get("key_alias")) or _text(entry.get("key_name")) or where
    where = f"{where} ({name})"
    if entry.get("blocked"):
        draft.leave(where, "it is blocked")
        return
    budget, period = _budget(draft, where, entry)
    expires = _text(entry.get("expires"))
    try:
        expires_at = datetime.fromisoformat(expires) if expires else None
    except ValueError:
        expires_at = None
        draft.leave(f"{where}.expires", "it is no time")
    models = tuple(_names(entry.get("models")))
    draft.keys.append(
        Key(
            name=name[:100],
            models=models or None,
            requests_per_minute=_whole(entry.get("rpm_limit")),
            tokens_per_minute=_whole(entry.get("tpm_limit")),
            concurrency=_whole(entry.get("max_parallel_requests")),
            budget_micros=budget,
            budget_period=period,
            expires_at=expires_at,
        )
    )
    for field in ("team_id", "user_id", "soft_budget", "guardrails", "permissions", "aliases", "model_max_budget"):
        if entry.get(field):
            draft.leave(f"{where}.{field}", "it has no match here")


def _budget(draft: Draft, where: str, entry: Table) -> tuple[int | None, Period | None]:
    if entry.get("max_budget") is None:
        return None, None
    amount = _micros(entry.get("max_budget"), 6)
    if amount is None:
        draft.leave(f"{where}.max_budget", "it is no amount")
        return None, None
    told = _text(entry.get("budget_duration"))
    period = _PERIODS.get(told, "total")
    if told and told not in _PERIODS:
        draft.leave(
            f"{where}.budget_duration", f"budgets are by day, month or in all, not by {told!r}: in all is planned"
        )
    if period == "total":
        amount -= _micros(entry.get("spend") or 0, 6) or 0
    if amount < 1:
        draft.leave(f"{where}.max_budget", "it is spent: the key is planned with the least budget there is")
    return max(amount, 1), period


def _names(value: Any) -> Iterator[str]:
    for name in map(_text, _list(value)):
        if name and name != "all-team-models" and name != "all-proxy-models":
            yield name


def _is_table(value: Any) -> TypeGuard[Table]:
    return isinstance(value, dict)


def _table(value: Any) -> Table:
    return value if _is_table(value) else {}


def _list(value: Any) -> list[Any]:
    return value if _is_list(value) else []


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return whole if 0 < whole < 2**53 else None
