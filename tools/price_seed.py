"""Makes the price seed from the public data of genai-prices: ``python tools/price_seed.py --date 2026-11-24``.

Run by hand when prices are refreshed; the file it writes is what ships, dated, integers only. Kept are the models that
the three shipped vendors serve themselves and that are priced by text and audio tokens alone; left out is what is free
of charge there, and names that only other vendors use. What makes images or speech or hears audio has its own file.
"""

from __future__ import annotations

import argparse
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import msgspec
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    TieredPrices,
)

ROOT = Path(__file__).parents[1]
SEED = ROOT / "src" / "ruxa" / "ledger" / "seed" / "providers.json"
MEDIA_SEED = SEED.with_name("media.json")

# Units a usage vector can hold; a model with a price in any other unit is left out.
UNITS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
}
# Priced, and only for tools that are refused or for cached audio, which is counted as cached text.
IGNORED_UNITS = {"web_searches_kcount", "storage_searches_kcount", "cache_audio_read_mtok", "cache_image_read_mtok"}

LEFT_OUT = re.compile(
    r"^(ft:|ada$|babbage|curie|davinci|text-(ada|curie|davinci)|gpt-3\.5-turbo-instruct|gpt-oss|claude-(2|3|v1)|gemma|gpt-35)"
    r"|^gpt-\d-\d|:|/|@|-high$|realtime|live|transcribe|tts|whisper|moderation|image|robotics|omni|computer-use|\.ft-"
)

# Dated names the vendors serve and the data knows only by prefix.
DATED = {
    "claude-haiku-4-5": ("claude-haiku-4-5-20251001",),
    "claude-opus-4-0": ("claude-opus-4-20250514",),
    "claude-opus-4-1": ("claude-opus-4-1-20250805",),
    "claude-opus-4-5": ("claude-opus-4-5-20251101",),
    "claude-sonnet-4-0": ("claude-sonnet-4-20250514",),
    "claude-sonnet-4-5": ("claude-sonnet-4-5-20250929",),
}

# Most output tokens, where the vendor states them (by prefix, longest first).
OUTPUT_TOKENS = {
    "gpt-4o": 16_384,
    "gpt-4.1": 32_768,
    "gpt-5": 128_000,
    "o1": 100_000,
    "o3": 100_000,
    "o4": 100_000,
    "claude-haiku-4-5": 64_000,
    "claude-opus-4-0": 32_000,
    "claude-opus-4-2": 32_000,
    "claude-opus-4-1": 32_000,
    "claude-opus-4-5": 64_000,
    "claude-sonnet-4": 64_000,
    "gemini-2.0": 8_192,
    "gemini-2.5": 65_536,
}

# The most that one image, and one page of a document, counts as input.
IMAGE_TOKENS = {"openai": 12_000, "anthropic": 5_000, "google": 5_000}
PAGE_TOKENS = {"openai": 14_000, "anthropic": 8_000, "google": 2_600}
# The most that one image of a usual size counts as output, at the best of the usual qualities.
IMAGE_OUTPUT_TOKENS = 6_240
MEDIA = re.compile(r"image|whisper|tts|transcribe|^moderation$")
MEDIA_LEFT_OUT = re.compile(r"realtime|live|^gpt-5|:|/|@")
IMAGE_TOKENS_OF = {"gpt-4o-mini": 50_000}


def micros(value: Decimal) -> int:
    """USD per million tokens as micros per million tokens, exactly."""
    whole = value * 1_000_000
    assert whole == int(whole), value
    return int(whole)


def rates(provider: str, model: ModelInfo, name: str, price: ModelPrice) -> dict[str, Any] | None:
    """The rates of one price, or None when it has a unit that no usage vector holds."""
    given: dict[str, tuple[int, int | None]] = {}
    step: int | None = None
    for unit, value in vars(price).items():
        if value is None or unit.startswith("_") or unit in IGNORED_UNITS:
            continue
        if unit not in UNITS:
            return None
        if isinstance(value, TieredPrices):
            assert len(value.tiers) == 1, name
            assert step in (None, value.tiers[0].start), name
            step = value.tiers[0].start
            given[UNITS[unit]] = (micros(value.base), micros(value.tiers[0].price))
        else:
            given[UNITS[unit]] = (micros(value), None)
    embeds = "embedding" in name
    if given.get("input", (0, None))[0] == 0 or (given.get("output", (0, None))[0] == 0) != embeds:
        return None

    def of(kind: str, instead: str) -> tuple[int, int | None]:
        return given.get(kind, given.get(instead, (0, None)))

    kinds = {
        "input": of("input", "input"),
        "output": of("output", "output"),
        "cache_read": of("cache_read", "input"),
        "cache_write_5m": of("cache_write_5m", "input"),
        "cache_write_1h": given.get("cache_write_1h", of("cache_write_5m", "input")),
        "reasoning": of("output", "output"),
        "audio_input": of("audio_input", "input"),
        "audio_output": of("audio_output", "output"),
    }
    found: dict[str, Any] = {f"{kind}_micros": base for kind, (base, _) in kinds.items()}
    if step is not None:
        found["long_from_tokens"] = step
        for kind in ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "reasoning"):
            base, long = kinds[kind]
            found[f"long_{kind}_micros"] = base if long is None else long
        assert kinds["audio_input"][1] is None or "audio_input" not in given, name
    if model.context_window:
        found["input_tokens_max"] = model.context_window
    fitting = [prefix for prefix in OUTPUT_TOKENS if name.startswith(prefix)]
    if fitting:
        found["output_tokens_max"] = OUTPUT_TOKENS[max(fitting, key=len)]
    pictures = [prefix for prefix in IMAGE_TOKENS_OF if name.startswith(prefix)]
    found["image_tokens_max"] = IMAGE_TOKENS_OF[pictures[0]] if pictures else IMAGE_TOKENS[provider]
    found["page_tokens_max"] = max(PAGE_TOKENS[provider], found["image_tokens_max"])
    return found


def periods(model: ModelInfo, today: date) -> list[tuple[date | None, ModelPrice]]:
    """The price in force on ``today`` (start None) and those that are announced for later."""
    if isinstance(model.prices, ModelPrice):
        return [(None, model.prices)]
    now = model.get_prices(datetime.combine(today, time(12), UTC))
    later = [
        (item.constraint.start_date, item.prices)
        for item in model.prices
        if isinstance(item.constraint, StartDateConstraint) and item.constraint.start_date > today
    ]
    return [(None, now), *sorted(later, key=lambda pair: pair[0])]


def names(model: ModelInfo) -> list[str]:
    """The names under which the vendor serves a model."""
    clauses = model.match.or_ if isinstance(model.match, ClauseOr) else [model.match]
    exact = [clause.equals for clause in clauses if isinstance(clause, ClauseEquals)]
    return sorted({model.id, *exact, *DATED.get(model.id, ())})


def media_rates(name: str, model: ModelInfo, price: ModelPrice) -> dict[str, Any] | None:
    """The rates of a model that makes images or speech or hears audio; None for one that does not."""
    given = {unit: value for unit, value in vars(price).items() if isinstance(value, Decimal)}
    found: dict[str, Any] = dict.fromkeys(
        (
            "input",
            "output",
            "cache_read",
            "cache_write_5m",
            "cache_write_1h",
            "reasoning",
            "audio_input",
            "audio_output",
        ),
        0,
    )
    more: dict[str, Any] = {"image_tokens_max": IMAGE_TOKENS["openai"], "page_tokens_max": PAGE_TOKENS["openai"]}
    inputs = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "audio_input")
    if "input_audio_hours" in given:
        more["units"] = "seconds"
        found["audio_input"] = -(-micros(given["input_audio_hours"]) * 1_000_000 // 3600)
    elif "input_mchars" in given:
        more["units"] = "characters"
        found["input"] = micros(given["input_mchars"])
    elif "image" in name and "input_image_mtok" in given:
        # The vector has one class for what goes in and one for what comes out: the dearer of text and image.
        found.update(dict.fromkeys(inputs, micros(max(given["input_mtok"], given["input_image_mtok"]))))
        found["cache_read"] = micros(max(given["cache_read_mtok"], given["cache_image_read_mtok"]))
        out = micros(max(given["output_mtok"], given.get("output_image_mtok", Decimal(0))))
        found.update(output=out, reasoning=out, audio_output=out)
        more["output_tokens_max"] = IMAGE_OUTPUT_TOKENS
    elif "transcribe" in name and "input_audio_mtok" in given:
        found.update(dict.fromkeys(inputs, micros(given["input_mtok"])))
        found["audio_input"] = micros(given["input_audio_mtok"])
        found.update(output=micros(given["output_mtok"]), reasoning=micros(given["output_mtok"]))
        more["input_tokens_max"] = model.context_window
    elif name.endswith("-tts"):
        found.update(dict.fromkeys(inputs, micros(given["input_mtok"])))
        found["audio_output"] = micros(given["output_mtok"])
    elif name != "moderation":
        return None
    return {f"{kind}_micros": value for kind, value in found.items()} | more


def media(today: date) -> list[bytes]:
    """The lines of the seed of media."""
    lines: list[bytes] = []
    for provider in providers:
        if provider.id not in ("openai", "groq"):
            continue
        for model in provider.models:
            if not MEDIA.search(model.id) or MEDIA_LEFT_OUT.search(model.id):
                continue
            dated = [(starts, media_rates(model.id, model, price)) for starts, price in periods(model, today)]
            if any(found is None for _, found in dated):
                continue
            for name in ("omni-moderation-latest",) if model.id == "moderation" else names(model):
                entry = {
                    "model": f"{provider.id}/{name}",
                    "aliases": [name],
                    "prices": [{"starts": starts, "rates": found} for starts, found in dated],
                }
                lines.append(msgspec.json.encode(entry))
    return lines


def write(file: Path, today: date, lines: list[bytes]) -> None:
    """One seed file."""
    head = msgspec.json.encode(f"seed {today.isoformat()} genai-prices {genai_prices.__version__}")
    file.write_bytes(b'{"source": ' + head + b',\n"models": [\n' + b",\n".join(sorted(lines)) + b"\n]}\n")


def main() -> None:
    """Writes the seed files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--date", type=date.fromisoformat, required=True, help="the day whose prices are in force")
    today: date = parser.parse_args().date
    lines: list[bytes] = []
    for provider in providers:
        if provider.id not in IMAGE_TOKENS:
            continue
        for model in provider.models:
            if provider.id == "google" and not model.id.startswith("gemini-"):
                continue
            for name in names(model):
                if LEFT_OUT.search(name):
                    continue
                dated = [(starts, rates(provider.id, model, name, price)) for starts, price in periods(model, today)]
                if any(found is None for _, found in dated):
                    continue
                entry = {
                    "model": f"{provider.id}/{name}",
                    "aliases": [name],
                    "prices": [{"starts": starts, "rates": found} for starts, found in dated],
                }
                lines.append(msgspec.json.encode(entry))
    write(SEED, today, lines)
    write(MEDIA_SEED, today, media(today))


if __name__ == "__main__":
    main()
