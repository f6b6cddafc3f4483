"""One simulation with what a choice is made from: figures, use of each resource, promise, cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvsim.metrics.cost import GpuTime, cost_of, gpu_time
from kvsim.metrics.result import RunResult
from kvsim.metrics.slo import evaluate_run
from kvsim.plan.demand import Demand, demands
from kvsim.plan.promise import failing_words
from kvsim.simulate import simulate
from kvsim.spec.cost import PriceList, resolve_prices
from kvsim.spec.scenario import Scenario
from kvsim.spec.slo import SloSpec
from kvsim.sweep.design import Point
from kvsim.sweep.execute import Outcome, execute_or_raise


@dataclass(frozen=True)
class Judge:
    """What runs are held against; it goes to the workers with each run."""

    prices: PriceList
    given: Mapping[str, Any]
    """Prices given by hand, which go before the list's."""
    slo: SloSpec | None = None

    def __call__(self, key: str, scenario: Mapping[str, Any]) -> Outcome:
        """Simulate one point of a design."""
        result = simulate(Scenario.from_dict(dict(scenario)))
        return Outcome(key, judge(result, self), result.manifest.wall_s)


class Runs:
    """Keep judged runs by scenario: each is simulated once, in as many processes as told."""

    def __init__(
        self, judge: Judge, jobs: int, on_progress: Callable[[int, int], None] | None
    ) -> None:
        self._judge = judge
        self._jobs = jobs
        self._on_progress = on_progress
        self._found: dict[str, dict[str, Any]] = {}
        self._known: set[str] = set()

    def expect(self, scenarios: Iterable[Scenario]) -> None:
        """Count scenarios that will be run later among the work to do."""
        self._known.update(scenario.hash() for scenario in scenarios)

    def run(self, scenarios: Sequence[Scenario]) -> None:
        """Simulate what is not there yet; a run that fails raises SimulationError."""
        self.expect(scenarios)
        points = [
            Point(own.name, {}, own.seed, key, own.to_dict())
            for own in scenarios
            if (key := own.hash()) not in self._found
        ]
        if not points:
            return
        for key, figures in execute_or_raise(points, jobs=self._jobs, run=self._judge):
            self._found[key] = figures
            if self._on_progress is not None:
                self._on_progress(len(self._found), len(self._known))

    def of(self, scenario: Scenario) -> dict[str, Any]:
        """Return the figures of a run."""
        return self._found[scenario.hash()]

    def records(
        self, designs: Mapping[str, Scenario], seeds: Iterable[int]
    ) -> list[dict[str, Any]]:
        """Return the figures of set-ups by seed, with both named."""
        every = list(seeds)
        return [
            {"setup": name, "seed": seed, **self.of(own.replace({"seed": seed}))}
            for name, own in designs.items()
            for seed in every
        ]


def judge(result: RunResult, by: Judge) -> dict[str, Any]:
    """Return a run's summary with its use of resources, its cost and what broke the promise."""
    scenario = result.scenario
    remote = scenario.offload.remote
    store = remote.profile if remote is not None and scenario.offload.connector != "none" else None
    prices = resolve_prices(by.prices, scenario.gpu, store, given=by.given)
    used = gpu_time(result)
    cost = cost_of(result, prices, used=used)
    report = None if by.slo is None else evaluate_run(by.slo, result)
    return {
        **result.summary_dict(),
        **use_of(result, used),
        "usd_per_hour": cost.usd_per_hour,
        "usd_per_million_input_tokens": cost.usd_per_million_input_tokens,
        "slo_passed": None if report is None else report.passed,
        "slo_broken": "" if report is None else failing_words(report),
    }


def use_of(result: RunResult, time: GpuTime) -> dict[str, float]:
    """Return fractions of the engines' `time`, how full CPU memory is, and what the store moved."""
    total_s = time.busy_s + time.idle_s
    moved = {(d.tier, d.direction): d for d in demands(result)}
    cpu = result.tiers[result.tiers["tier"] == "cpu"]
    capacity = float(cpu["capacity_bytes"].sum())
    return {
        "prefill_fraction": time.prefill_s / total_s if total_s else 0.0,
        "decode_fraction": time.decode_s / total_s if total_s else 0.0,
        "load_fraction": time.load_s / total_s if total_s else 0.0,
        "store_fraction": time.store_s / total_s if total_s else 0.0,
        "cpu_fill_fraction": float(cpu["mean_used_bytes"].sum()) / capacity if capacity else 0.0,
        "cpu_evicted_bytes": float(cpu["evicted_bytes"].sum()),
        **_moved("remote_read", moved.get(("remote", "read"))),
        **_moved("remote_write", moved.get(("remote", "write"))),
    }


def _moved(name: str, demand: Demand | None) -> dict[str, float]:
    limit = demand.limit_bytes_per_s if demand is not None else None
    return {
        f"{name}_bytes_per_s": 0.0 if demand is None else demand.mean_bytes_per_s,
        f"{name}_p99_bytes_per_s": 0.0 if demand is None else demand.p99_bytes_per_s,
        f"{name}_limit_bytes_per_s": limit or 0.0,
    }
