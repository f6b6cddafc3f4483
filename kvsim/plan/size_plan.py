"""The whole answer to "how much memory and storage": sizes, curve, traffic, writes, cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kvsim.metrics.cost import Cost, cost_of
from kvsim.plan.demand import Demand, Writes, demands, writes
from kvsim.plan.reuse import knee
from kvsim.plan.size import (
    Point,
    Sizing,
    Target,
    TierName,
    TierSize,
    local_reuse,
    size_store,
    size_tier,
)
from kvsim.plan.trial import Trial
from kvsim.spec.scenario import Scenario
from kvsim.units import format_bytes

if TYPE_CHECKING:
    from kvsim.spec.cost import Prices

CURVE_POINTS = 6
"""Capacities of the curve that are simulated besides those of the search."""
REPLAYED_POINTS = 40


@dataclass(frozen=True)
class CurveRow:
    """Token hit rate of GPU and CPU memory at one CPU capacity per rank, by replay."""

    capacity_bytes: int
    lru_rate: float
    """The CPU tier alone, by least recent use, ends before beginnings."""
    bound_rate: float
    """No policy over GPU and CPU memory together can find more (Belady)."""


@dataclass(frozen=True)
class SizePlan:
    """Everything that `kvsim size` says."""

    scenario: Scenario
    target: Target
    tiers: tuple[TierSize, ...]
    curve: tuple[CurveRow, ...]
    """Hit rate against CPU capacity; empty without a CPU tier to size."""
    knee_bytes: int | None
    """CPU capacity per rank beyond which more brings less than on average."""
    ceiling_rate: float
    """What memory without limit on each instance would find."""
    sized: Scenario
    """The scenario with the sizes that were found."""
    trial: Trial
    """Its run."""
    demands: tuple[Demand, ...]
    writes: tuple[Writes, ...]
    cost: Cost
    prices: Prices
    notes: tuple[str, ...]

    @property
    def reached(self) -> bool:
        """Tell whether every tier has a size."""
        return all(tier.capacity_bytes is not None for tier in self.tiers)

    @property
    def simulated(self) -> tuple[Point, ...]:
        """The simulated points of the curve."""
        return next((tier.points for tier in self.tiers if tier.tier == "cpu"), ())

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        target = self.target
        return {
            "scenario": self.scenario.name,
            "target": {
                "hit_rate": target.hit_rate,
                "slo": None if target.slo is None else target.slo.model_dump(mode="json"),
                "stable": target.stable,
            },
            "reached": self.reached,
            "tiers": [tier.to_dict() for tier in self.tiers],
            "curve": [
                {
                    "capacity_bytes": row.capacity_bytes,
                    "lru_rate": row.lru_rate,
                    "bound_rate": row.bound_rate,
                }
                for row in self.curve
            ],
            "knee_bytes": self.knee_bytes,
            "ceiling_rate": self.ceiling_rate,
            "summary": self.trial.result.summary_dict(),
            "slo": None if self.trial.slo is None else self.trial.slo.to_dict(),
            "demands": [demand.to_dict() for demand in self.demands],
            "writes": [each.to_dict() for each in self.writes],
            "cost": self.cost.to_dict(),
            "prices": self.prices.model_dump(mode="json"),
            "notes": list(self.notes),
        }


def tiers_of(scenario: Scenario) -> list[TierName]:
    """Name the tiers that are sized unless told otherwise: those below the GPU."""
    if scenario.offload.connector == "none":
        return ["hbm"]
    return ["cpu", "remote"] if scenario.offload.remote is not None else ["cpu"]


def make_size_plan(
    scenario: Scenario,
    prices: Prices,
    *,
    target: Target | None = None,
    tiers: Sequence[TierName] | None = None,
    seeds: Sequence[int] | None = None,
    on_run: Callable[[], None] | None = None,
) -> SizePlan:
    """Size the tiers one after the other, each with the size found for those before it."""
    wanted = list(tiers) if tiers else tiers_of(scenario)
    sizes: list[TierSize] = []
    sized = scenario
    held = target
    curve: tuple[CurveRow, ...] = ()
    knee_bytes: int | None = None
    last: Sizing | None = None
    for tier in ("hbm", "cpu"):
        if tier not in wanted:
            continue
        sizing = Sizing(sized, tier, seeds=seeds, on_run=on_run)
        size, held = size_tier(sizing, held)
        if tier == "cpu":
            size, curve, knee_bytes = _curve(sizing, size, held)
        sizes.append(size)
        last = sizing
        if size.capacity_bytes is not None:
            sized = sizing.at(size.capacity_bytes // sizing.unit_bytes)
    trial = _run_of(last, sizes, scenario, held, on_run, seeds)
    held = held or Target()
    if "remote" in wanted and scenario.offload.remote is not None:
        sizes.append(size_store(sized, trial, held))
    reuses = local_reuse(sized, trial, sized.offload.chunk_tokens)
    prompt = max(1, sum(reuse.prompt_tokens for reuse in reuses))
    return SizePlan(
        scenario=scenario,
        target=held,
        tiers=tuple(sizes),
        curve=curve,
        knee_bytes=knee_bytes,
        ceiling_rate=sum(reuse.ceiling_tokens for reuse in reuses) / prompt,
        sized=sized,
        trial=trial,
        demands=tuple(demands(trial.result)),
        writes=tuple(_writes(sized, trial)),
        cost=cost_of(trial.result, prices, stored_bytes=_stored(sizes)),
        prices=prices,
        notes=tuple(_notes(sized, trial, sizes, prices)),
    )


def _run_of(
    last: Sizing | None,
    sizes: Sequence[TierSize],
    scenario: Scenario,
    target: Target | None,
    on_run: Callable[[], None] | None,
    seeds: Sequence[int] | None,
) -> Trial:
    """Give the run of the sized scenario, or of the largest capacity where nothing is enough."""
    if last is None:
        last = Sizing(scenario, "hbm", seeds=seeds, on_run=on_run)
        last.slo = target.slo if target is not None else None
        return last.trials(scenario.num_gpu_blocks)[0]
    found = sizes[-1].capacity_bytes
    capacity = sizes[-1].points[-1].capacity_bytes if found is None else found
    return last.trials(capacity // last.unit_bytes)[0]


def _curve(
    sizing: Sizing, size: TierSize, target: Target
) -> tuple[TierSize, tuple[CurveRow, ...], int | None]:
    """Add simulated points to a size, and replay the curve with its bound."""
    scenario, chunk_bytes = sizing.scenario, sizing.unit_bytes
    high = (size.unlimited_bytes or chunk_bytes) // chunk_bytes
    for units in _log_steps(max(1, high // 64), high, CURVE_POINTS):
        sizing.trials(units)
    points = tuple(sizing.point(units, target) for units in sizing.tried if units <= high)
    size = TierSize(**{**_fields(size), "points": points})
    trial = sizing.trials(sizing.tried[-1])[0]
    chunks = local_reuse(scenario, trial, scenario.offload.chunk_tokens)
    blocks = local_reuse(scenario, trial, scenario.engine.block_tokens)
    prompt = max(1, sum(reuse.prompt_tokens for reuse in chunks))
    blocks_a_chunk = scenario.offload.chunk_tokens // scenario.engine.block_tokens
    pool = scenario.num_gpu_blocks - 1
    rows = tuple(
        CurveRow(
            capacity_bytes=units * chunk_bytes,
            lru_rate=sum(reuse.lru_tokens(units) for reuse in chunks) / prompt,
            bound_rate=sum(r.optimal_tokens(units * blocks_a_chunk + pool) for r in blocks)
            / prompt,
        )
        for units in [0, *_log_steps(max(1, high // 256), high, REPLAYED_POINTS)]
    )
    place = knee([row.capacity_bytes for row in rows], [row.lru_rate for row in rows])
    return size, rows, None if place is None else rows[place].capacity_bytes


def _fields(size: TierSize) -> dict[str, Any]:
    return {name: getattr(size, name) for name in TierSize.__dataclass_fields__}


def _log_steps(low: int, high: int, count: int) -> list[int]:
    return sorted({round(value) for value in np.geomspace(low, max(low, high), count)})


def _stored(sizes: Sequence[TierSize]) -> int | None:
    """Give the size of the store that was found, which is what has to be paid for."""
    return next((size.capacity_bytes for size in sizes if size.tier == "remote"), None)


def _writes(scenario: Scenario, trial: Trial) -> list[Writes]:
    if scenario.offload.connector == "none" or scenario.offload.remote is None:
        return []
    chunk_bytes = scenario.chunk_bytes * scenario.engine.tensor_parallel_size
    return [writes(trial.result, "remote", trial.new_remote_chunks * chunk_bytes)]


def _notes(
    scenario: Scenario, trial: Trial, sizes: Sequence[TierSize], prices: Prices
) -> list[str]:
    """Say what a reader has to know before buying."""
    notes = [
        f"{size.tier}: a larger capacity that was tried misses the target; look at the points"
        for size in sizes
        if not size.monotone
    ]
    if not trial.stable:
        notes.append(
            "answers fall behind questions in this run, so its figures depend on its length"
        )
    if scenario.offload.remote is not None:
        name = scenario.offload.remote.profile.name
        if not prices.usd_per_tb_month:
            notes.append(f"{name} has no price; give one with --price usd_per_tb_month=...")
        left = _written(trial)
        notes.append(
            "a store of the size found needs something that deletes old chunks; without it the run "
            f"leaves {format_bytes(left)} behind"
            if left
            else "nothing reached the store: what goes there passes through CPU memory"
        )
    if scenario.engine.tensor_parallel_size > 1:
        ranks = scenario.engine.tensor_parallel_size
        notes.append(f"sizes of GPU and CPU memory are per rank; an instance has {ranks}")
    return notes


def _written(trial: Trial) -> float:
    tiers = trial.result.tiers
    return float(tiers.loc[tiers["tier"] == "remote", "peak_used_bytes"].sum())
