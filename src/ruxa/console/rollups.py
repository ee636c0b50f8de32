"""Sums over a period by bucket; finished buckets are remembered, so looking again costs only the running one.

Latencies are counted in bins that are 2 % wide, so a percentile is true to 1 %. A bucket counts as finished a lease's
grace after its end; it is kept for an hour, since a journal that was replayed later still changes it. The first look at
a month of an organisation with a million rows reads them all; later ones do not.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from datetime import datetime
from uuid import UUID

from ruxa.console import records
from ruxa.console.records import Sums
from ruxa.kernel import bounds
from ruxa.kernel.clock import monotonic
from ruxa.store.work import Work

KEPT_S = 3600.0
BUCKETS_MAX = 4000
BINS_PER_E = 75


class Bucket:
    """What happened in one bucket: sums by model, failed calls by code, successful ones by latency bin."""

    __slots__ = ("bins", "errors", "models", "until")

    def __init__(self, until: float) -> None:
        self.models: dict[str, Sums] = {}
        self.errors: dict[str, int] = {}
        self.bins: dict[int, int] = {}
        self.until = until


class Period:
    """A period's sums: altogether, by bucket number, by model (dearest first); failed calls by code (most first)."""

    def __init__(self, buckets: dict[int, Bucket]) -> None:
        models: dict[str, Sums] = {}
        bins: dict[int, int] = {}
        errors: dict[str, int] = {}
        self.buckets: dict[int, Sums] = {}
        for number, bucket in buckets.items():
            for name, sums in bucket.models.items():
                models[name] = add(models.get(name, Sums()), sums)
            for bin_, calls in bucket.bins.items():
                bins[bin_] = bins.get(bin_, 0) + calls
            for code, calls in bucket.errors.items():
                errors[code] = errors.get(code, 0) + calls
            self.buckets[number] = total(bucket.models, bucket.bins)
        self.total = total(models, bins)
        self.errors = sorted(errors.items(), key=lambda one: (-one[1], one[0]))
        self.models = sorted(models.items(), key=lambda one: (-one[1].spend, -one[1].calls, one[0]))


class Rollups:
    """Finished buckets of organisations that were looked at lately; one per process."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[UUID, int, int], Bucket] = OrderedDict()

    async def period(
        self, work: Work, organisation_ref: UUID, starts: list[datetime], step_s: int, now: datetime
    ) -> Period:
        """The sums of the buckets that begin at ``starts`` (aligned to ``step_s``), read from the first unknown one."""
        numbers = [int(start.timestamp()) // step_s for start in starts]
        known: dict[int, Bucket] = {}
        for number in numbers:
            bucket = self._kept.get((organisation_ref, step_s, number))
            if bucket is None or bucket.until < monotonic():
                break
            known[number] = bucket
        if len(known) < len(numbers):
            fresh = numbers[len(known) :]
            known |= await self._read(work, organisation_ref, fresh, step_s)
            self._keep(organisation_ref, step_s, known, int(now.timestamp()))
        return Period(known)

    async def _read(self, work: Work, organisation_ref: UUID, numbers: list[int], step_s: int) -> dict[int, Bucket]:
        until = monotonic() + KEPT_S
        found = {number: Bucket(until) for number in numbers}
        since_s = numbers[0] * step_s
        for number, model, code, sums in await records.bucket_sums(work, organisation_ref, since_s, step_s):
            if number in found:
                bucket = found[number]
                bucket.models[model] = add(bucket.models.get(model, Sums()), sums)
                if code is not None:
                    bucket.errors[code] = bucket.errors.get(code, 0) + sums.calls
        for number, bin_, calls in await records.bucket_latencies(work, organisation_ref, since_s, step_s, BINS_PER_E):
            if number in found:
                found[number].bins[bin_] = calls
        return found

    def _keep(self, organisation_ref: UUID, step_s: int, buckets: dict[int, Bucket], now_s: int) -> None:
        for number, bucket in buckets.items():
            if (number + 1) * step_s + bounds.LEASE_GRACE_S <= now_s:
                self._kept[organisation_ref, step_s, number] = bucket
                self._kept.move_to_end((organisation_ref, step_s, number))
        while len(self._kept) > BUCKETS_MAX:
            self._kept.popitem(last=False)


def add(one: Sums, other: Sums) -> Sums:
    """Both together, without percentiles."""
    return Sums(one.calls + other.calls, one.errors + other.errors, one.spend + other.spend, one.tokens + other.tokens)


def total(models: dict[str, Sums], bins: dict[int, int]) -> Sums:
    """The sums of all models, with the percentiles of the bins."""
    calls = errors = spend = tokens = 0
    for sums in models.values():
        calls, errors = calls + sums.calls, errors + sums.errors
        spend, tokens = spend + sums.spend, tokens + sums.tokens
    return Sums(calls, errors, spend, tokens, percentile(bins, 50), percentile(bins, 95))


def percentile(bins: dict[int, int], percent: int) -> int | None:
    """The latency in milliseconds that ``percent`` of the counted calls did not exceed; None without calls."""
    wanted = -(-sum(bins.values()) * percent // 100)
    for bin_ in sorted(bins):
        wanted -= bins[bin_]
        if wanted <= 0:
            return round(math.exp((bin_ + 0.5) / BINS_PER_E) - 1)
    return None
