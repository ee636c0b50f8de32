"""Configs: how an operator points a gateway at the scripted upstream - Ruxa, LiteLLM proxy, Portkey."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ruxa.dialects.translator import Way
from ruxa.egress import providers
from ruxa.egress.conformance.case import DIALECTS, PROVIDER_OF, PROVIDERS, Code, models, public

Gateway = Literal["ruxa", "litellm", "portkey"]

BASES: dict[Code, str] = {"OC": "v1", "OR": "v1", "AM": "v1", "GG": "v1beta"}
OWNERS: dict[Code, str] = {"OC": "openai", "OR": "openai", "AM": "anthropic", "GG": "google"}
OUTPUT_TOKENS_MAX = 64_000
# The key that the config gives LiteLLM's proxy; it is on loopback and guards nothing.
LITELLM_KEY = "sk-conformance"


def ruxa(port: int) -> str:
    """A ``ruxa.toml``. Prices are whole dollars a million tokens, so that costs can be read off."""
    lines = [
        "# Ruxa with the conformance upstream as its providers. Give the organisation real credit: ruxa org credit.",
        "[egress]",
        "allow_loopback = true # the upstream also serves the image of the cases that name one by URL",
    ]
    for code, name in PROVIDERS.items():
        base = f"http://127.0.0.1:{port}/{BASES[code]}"
        lines += ["", f"[providers.{name}]", f'base_url = "{base}"', f'dialect = "{DIALECTS[code]}"']
    for name in sorted(set(PROVIDER_OF.values())):
        lines += ["", f"[providers.{name}]", f'base_url = "http://127.0.0.1:{port}/v1"', 'dialect = "openai_chat"']
        lines.append('drop_fields = ["prompt_cache_key"] # a provider that refuses what it does not know')
    for code, model in models():
        lines += ["", f'[models."{public(code, model)}"]']
        lines += ["input_micros_per_mtok = 1000000", "output_micros_per_mtok = 2000000"]
        lines.append(f"output_tokens_max = {OUTPUT_TOKENS_MAX}")
        if model not in PROVIDER_OF:
            lines.append("ways = [" + ", ".join(f'"{way}"' for way in sorted(ways(code, model))) + "]")
    return "\n".join(lines) + "\n"


def ways(code: Code, model: str) -> frozenset[Way]:
    """What the catalogue says that the vendor's model of that name can do."""
    table = providers.ways()[OWNERS[code] if model not in PROVIDER_OF else DIALECTS[code]]
    return table[max((beginning for beginning in table if model.startswith(beginning)), key=len)]


def litellm(port: int) -> str:
    """A ``config.yaml`` of LiteLLM's proxy."""
    base = f"http://127.0.0.1:{port}"
    kinds: dict[Code, tuple[str, str]] = {
        "OC": ("openai", f"{base}/v1"),
        "OR": ("openai/responses", f"{base}/v1"),
        "AM": ("anthropic", base),
        "GG": ("gemini", base),
    }
    lines = ["# LiteLLM proxy with the conformance upstream as its providers.", "model_list:"]
    for code, model in models():
        kind, url = kinds[code]
        lines += [f"  - model_name: {public(code, model)}", "    litellm_params:", f"      model: {kind}/{model}"]
        lines += [f"      api_base: {url}", "      api_key: sk-upstream"]
        if code == "OC":
            lines.append("      use_chat_completions_api: true")
        if model in PROVIDER_OF:
            lines.append('      additional_drop_params: ["prompt_cache_key"]')
    lines += ["general_settings:", f"  master_key: {LITELLM_KEY}"]
    lines += ["litellm_settings:", "  telemetry: false", "  use_chat_completions_url_for_anthropic_messages: true"]
    lines += ["  drop_params: true", '  user_url_allowed_hosts: ["127.0.0.1"]', "  num_retries: 0"]
    return "\n".join(lines) + "\n"


def portkey(port: int) -> str:
    """Routes for ``--routes``: Portkey's open-source gateway is told by each call's headers where it goes."""
    kinds: dict[Code, tuple[str, str]] = {
        "OC": ("openai", "v1"),
        "OR": ("openai", "v1"),
        "AM": ("anthropic", "v1"),
        "GG": ("google", "v1beta"),
    }
    lines = ["# Portkey gateway: ruxa conformance --routes THIS_FILE --target http://127.0.0.1:8787 --key sk-upstream"]
    named: list[tuple[Code, str]] = [*PROVIDERS.items()]
    for name in sorted(set(PROVIDER_OF.values())):
        named.append(("OC", name))
    for code, name in named:
        kind, base = kinds[code]
        lines += ["", f"[{name}]", 'model = "{{upstream_model}}"', "[" + name + ".headers]"]
        lines += [f'x-portkey-provider = "{kind}"', f'x-portkey-custom-host = "http://127.0.0.1:{port}/{base}"']
        lines += ['authorization = "Bearer {{key}}"', 'x-portkey-strict-open-ai-compliance = "true"']
    return "\n".join(lines) + "\n"


CONFIGS: dict[Gateway, Callable[[int], str]] = {"ruxa": ruxa, "litellm": litellm, "portkey": portkey}
