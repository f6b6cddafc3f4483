"""How large each tier has to be: by simulation for GPU and CPU memory, by replay for a store.

GPU and CPU memory: the scenario is simulated with other capacities and everything else equal, the
random draws included, until the smallest capacity is found that reaches the target. A store in
LMCache never deletes, so no simulation can be too small for it; its size is that of an LRU cache
over the look-ups of all instances that reaches the target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from kvsim.errors import ConfigError
from kvsim.plan.promise import failing_words
from kvsim.plan.reuse import Reuse, lookups_of, measure_reuse
from kvsim.plan.smallest import smallest
from kvsim.plan.trial import Trial, try_out
from kvsim.spec.memory import block_bytes, kv_pool_blocks
from kvsim.spec.scenario import Scenario
from kvsim.spec.slo import SloSpec
from kvsim.text import percent
from kvsim.units import format_bytes

TierName = Literal["hbm", "cpu", "remote"]
DEFAULT_PART = 0.95
"""Without a target: the smallest capacity that reaches this part of what is reachable."""
PRECISION = 0.03
"""Answers are at most this part too large."""
UNLIMITED_BYTES = 2**60
_REMOTE_PRECISION = 1e-3


@dataclass(frozen=True)
class Target:
    """What a capacity has to reach: a token hit rate, or a promise, or both."""

    hit_rate: float | None = None
    slo: SloSpec | None = None
    stable: bool = False
    """Whether answers have to keep up with questions too."""

    def __post_init__(self) -> None:
        if self.hit_rate is not None and not 0 < self.hit_rate <= 1:
            raise ConfigError(f"hit rate {self.hit_rate:g} is not in (0, 1]; write e.g. 0.9")

    @property
    def words(self) -> str:
        """The target as people say it."""
        parts = [] if self.hit_rate is None else [f"a token hit rate of {percent(self.hit_rate)}"]
        parts += ["the SLO"] if self.slo else []
        parts += ["answers that keep up with questions"] if self.stable else []
        return " and ".join(parts)


@dataclass(frozen=True)
class Point:
    """One capacity that was simulated: means over the seeds, and whether all reach the target."""

    capacity_bytes: int
    hit_rate: float
    local_hit_rate: float
    """From GPU and CPU memory."""
    ttft_s_mean: float | None
    finished_per_s: float
    attainment: float | None
    goodput_per_s: float | None
    stable: bool
    died: bool
    meets: bool


@dataclass(frozen=True)
class TierSize:
    """The answer for one tier."""

    tier: TierName
    capacity_bytes: int | None
    """Per rank (hbm, cpu) or of the whole store (remote); none: the target is out of reach."""
    ranks: int
    """Ranks that each have this capacity; 1 for a store."""
    reason: str
    """What holds, or why nothing does."""
    points: tuple[Point, ...]
    """What was simulated, by capacity."""
    monotone: bool = True
    """Whether every larger capacity that was tried reaches the target too."""
    optimal_bytes: int | None = None
    """The same for the best of all policies (remote only)."""
    retention_s: float | None = None
    """How long chunks must stay for the same hits (remote only)."""
    unlimited_bytes: int | None = None
    """All that a run writes: what a tier holds that never evicts."""

    @property
    def total_bytes(self) -> int | None:
        """Capacity of all ranks together."""
        return None if self.capacity_bytes is None else self.capacity_bytes * self.ranks

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "total_bytes": self.total_bytes}


class Sizing:
    """The simulations of one scenario under other capacities of one tier, each run once."""

    def __init__(
        self,
        scenario: Scenario,
        tier: Literal["hbm", "cpu"],
        *,
        seeds: Sequence[int] | None = None,
        on_run: Callable[[], None] | None = None,
    ) -> None:
        if tier == "cpu" and scenario.offload.connector == "none":
            raise ConfigError(
                "offload.connector: none, so there is no CPU tier to size; set it to lmcache_inproc"
            )
        self.scenario = scenario
        self.tier = tier
        self.seeds = tuple(seeds) if seeds else (scenario.seed,)
        self.slo: SloSpec | None = None
        self._on_run = on_run
        self._trials: dict[int, list[Trial]] = {}

    @property
    def unit_bytes(self) -> int:
        """Smallest step of the capacity: a block, or a chunk."""
        if self.tier == "hbm":
            return block_bytes(self.scenario.model, self.scenario.engine)
        return self.scenario.chunk_bytes

    @property
    def tried(self) -> list[int]:
        """Capacities that were simulated, in units."""
        return sorted(self._trials)

    def at(self, units: int) -> Scenario:
        """Give the scenario with another capacity."""
        if self.tier == "hbm":
            return self.scenario.replace({"engine.num_gpu_blocks": units})
        return self.scenario.replace({"offload.cpu.capacity": units * self.unit_bytes})

    def trials(self, units: int) -> list[Trial]:
        """Simulate a capacity, once for each seed."""
        if units not in self._trials:
            scenario = self.at(units)
            self._trials[units] = [self._run(scenario, seed) for seed in self.seeds]
        return self._trials[units]

    def _run(self, scenario: Scenario, seed: int) -> Trial:
        trial = try_out(scenario.replace({"seed": seed}), self.slo)
        if self._on_run is not None:
            self._on_run()
        return trial

    def point(self, units: int, target: Target) -> Point:
        """Describe a simulated capacity."""
        trials = self.trials(units)
        summaries = [trial.result.summary_dict() for trial in trials]
        waits = [float(s["ttft_s_mean"]) for s in summaries if s["ttft_s_mean"] is not None]
        reports = [trial.slo for trial in trials if trial.slo is not None]
        return Point(
            capacity_bytes=units * self.unit_bytes,
            hit_rate=_mean([trial.hit_rate for trial in trials]),
            local_hit_rate=_mean([trial.local_hit_rate for trial in trials]),
            ttft_s_mean=_mean(waits) if len(waits) == len(trials) else None,
            finished_per_s=_mean([float(s["finished_per_s"] or 0.0) for s in summaries]),
            attainment=_mean([r.attainment for r in reports]) if reports else None,
            goodput_per_s=_mean([r.goodput_per_s for r in reports]) if reports else None,
            stable=all(trial.stable for trial in trials),
            died=any(trial.died for trial in trials),
            meets=meets(trials, target),
        )


def meets(trials: Sequence[Trial], target: Target) -> bool:
    """Tell whether a capacity reaches the target: the hit rate on average, the rest always.

    A run in which an engine died reaches nothing.
    """
    if any(trial.died for trial in trials):
        return False
    if target.stable and not all(trial.stable for trial in trials):
        return False
    if target.hit_rate is not None:
        rate = _mean([trial.hit_rate for trial in trials])
        if rate < target.hit_rate - 1e-12:
            return False
    if target.slo is not None:
        return all(trial.slo is not None and trial.slo.passed for trial in trials)
    return True


def size_tier(sizing: Sizing, target: Target | None = None) -> tuple[TierSize, Target]:
    """Find the smallest capacity of GPU or CPU memory; returns the target that held."""
    low, high, guess = _bounds(sizing)
    sizing.slo = target.slo if target is not None else None
    best = sizing.trials(high)
    reachable = _mean([trial.hit_rate for trial in best])
    if target is None or (target.hit_rate is None and target.slo is None):
        target = Target(hit_rate=max(DEFAULT_PART * reachable, 1e-9))
    if target.slo is not None or all(trial.stable for trial in best):
        target = replace(target, stable=True)  # an overload that memory can avoid is no answer
    found = smallest(
        lambda units: meets(sizing.trials(units), target),
        low=low,
        high=high,
        guess=guess(target) if target.hit_rate is not None else None,
        precision=PRECISION,
    )
    points = tuple(sizing.point(units, target) for units in sizing.tried if units <= high)
    capacity = None if found is None else found * sizing.unit_bytes
    later = [p.meets for p in points if capacity is not None and p.capacity_bytes >= capacity]
    scenario = sizing.scenario
    size = TierSize(
        tier=sizing.tier,
        capacity_bytes=capacity,
        ranks=scenario.instances * scenario.engine.tensor_parallel_size,
        reason=_reason(sizing, target, capacity, best, reachable),
        points=points,
        monotone=all(later),
        unlimited_bytes=high * sizing.unit_bytes if sizing.tier == "cpu" else None,
    )
    return size, target


def _bounds(sizing: Sizing) -> tuple[int, int, Callable[[Target], int | None]]:
    """Give the smallest and largest capacity worth trying, and a guess from a replay."""
    scenario = sizing.scenario
    if sizing.tier == "hbm":
        engine = scenario.engine
        low = -(-scenario.max_model_len // engine.block_tokens) + 1
        free = engine.model_copy(update={"num_gpu_blocks": None})
        high = max(scenario.num_gpu_blocks, kv_pool_blocks(scenario.model, scenario.gpu, free))
        return low, high, lambda _: None
    enough = UNLIMITED_BYTES // sizing.unit_bytes
    reuses = local_reuse(scenario, sizing.trials(enough)[0], scenario.offload.chunk_tokens)
    largest = max((reuse.distinct_units for reuse in reuses), default=0)
    # What is stored twice for a while, and what lookups pin, come on top of different chunks.
    high = largest + largest // 4 + 64
    prompt = sum(reuse.prompt_tokens for reuse in reuses)

    def guess(target: Target) -> int | None:
        rate = target.hit_rate
        if rate is None or scenario.offload.remote is not None:
            return None
        return smallest(
            lambda units: sum(reuse.lru_tokens(units) for reuse in reuses) >= rate * prompt,
            low=1,
            high=high,
        )

    return 0, high, guess


def local_reuse(scenario: Scenario, trial: Trial, unit_tokens: int) -> list[Reuse]:
    """Replay each instance's own look-ups."""
    return [
        measure_reuse(lookups_of(trial.requests, instance), unit_tokens)
        for instance in range(scenario.instances)
    ]


def size_store(scenario: Scenario, trial: Trial, target: Target) -> TierSize:
    """Find the smallest store, from the look-ups of all instances of one run."""
    unit_tokens = scenario.offload.chunk_tokens
    ranks = scenario.engine.tensor_parallel_size
    chunk_bytes = scenario.chunk_bytes * ranks
    reuse = measure_reuse(lookups_of(trial.requests), unit_tokens)
    ceiling = reuse.ceiling_tokens
    wanted = DEFAULT_PART * ceiling
    about = f"{DEFAULT_PART:.0%} of what a store can serve"
    if target.slo is None and target.hit_rate is not None:
        about = f"a token hit rate of {percent(target.hit_rate)}"
        wanted = target.hit_rate * reuse.prompt_tokens
    if wanted > ceiling:
        share = ceiling / max(1, reuse.prompt_tokens)
        return TierSize(
            "remote",
            None,
            1,
            f"out of reach: at most {percent(share)} of the prompt tokens were there before in "
            "whole chunks, whatever the capacity",
            (),
            unlimited_bytes=reuse.distinct_units * chunk_bytes,
        )
    lru, optimal = (
        smallest(
            lambda units, count=count: count(units) >= wanted,  # type: ignore[misc]
            low=0,
            high=reuse.distinct_units,
            precision=_REMOTE_PRECISION,
        )
        for count in (reuse.lru_tokens, reuse.optimal_tokens)
    )
    return TierSize(
        "remote",
        None if lru is None else lru * chunk_bytes,
        1,
        f"reaches {about} if it evicts the least recently used chunk; LMCache itself never "
        "deletes, so whoever runs the store has to",
        (),
        optimal_bytes=None if optimal is None else optimal * chunk_bytes,
        retention_s=reuse.age_for(wanted / ceiling) if ceiling else None,
        unlimited_bytes=reuse.distinct_units * chunk_bytes,
    )


def _reason(
    sizing: Sizing,
    target: Target,
    capacity: int | None,
    best: Sequence[Trial],
    reachable: float,
) -> str:
    if capacity == 0:
        return f"not needed: GPU memory alone reaches {target.words}"
    if capacity is not None:
        return f"reaches {target.words}; {format_bytes(sizing.unit_bytes)} is one step"
    if any(trial.died for trial in best):
        return "out of reach: an engine dies even with memory for everything (puts hold it)"
    if target.hit_rate is not None and reachable < target.hit_rate:
        return (
            f"out of reach: even with memory for everything only {percent(reachable)} of the "
            "prompt tokens were there before"
        )
    failing = [failing_words(trial.slo) for trial in best if trial.slo is not None]
    unstable = any(not trial.stable for trial in best)
    words = "; ".join(word for word in failing if word)
    also = "answers do not keep up with questions" if unstable else ""
    return "out of reach even with memory for everything: " + "; ".join(filter(None, (words, also)))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
