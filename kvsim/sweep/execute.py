"""Run the points of a sweep on this machine's cores, each isolated from the others.

Workers get plain dictionaries and send plain dictionaries back; the pool is warmed once. Longest
runs go first, so that no core idles at the end; the table does not depend on the order.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvsim.sweep.design import Point

_SECONDS_PER_WEIGHT = 2.5e-8
"""Wall time of a unit of `weight` on one core of a server of 2023."""
_START_S = 2.0
"""Time to start the workers."""


@dataclass(frozen=True)
class Outcome:
    """What came of one run: a summary, or the error that ended it."""

    key: str
    summary: dict[str, Any] | None
    wall_s: float
    error: str | None = None
    trace: str | None = None


def run_point(key: str, scenario: Mapping[str, Any]) -> Outcome:
    """Simulate one point; a crash becomes an outcome, for the other runs go on."""
    from kvsim.simulate import simulate
    from kvsim.spec.scenario import Scenario

    try:
        result = simulate(Scenario.from_dict(dict(scenario)))
        return Outcome(key, result.summary_dict(), result.manifest.wall_s)
    except Exception as error:  # the one place that must survive whatever a run does
        words = f"{type(error).__name__}: {error}"
        return Outcome(key, None, 0.0, error=words, trace=traceback.format_exc())


def weight(scenario: Mapping[str, Any]) -> float:
    """Guess how long a run takes relative to others, from the tokens that it will ask for."""
    workload = scenario["workload"]
    context = workload.get("shared_system_prompt", 0) + workload.get("user_history_prompt", 0)
    tiers = 1 + (scenario["offload"]["connector"] != "none") + bool(scenario["offload"]["remote"])
    return float(workload.get("time", 1.0) * tiers * (2_000 + context))


def estimate_s(
    points: Sequence[Point], *, jobs: int, measured: Mapping[str, float] | None = None
) -> float:
    """Estimate the wall time of a sweep: from its own earlier runs where there are any."""
    weights = {point.key: weight(point.scenario) for point in points}
    known = {key: s for key, s in (measured or {}).items() if key in weights}
    each = (
        sum(known.values()) / sum(weights[key] for key in known) if known else _SECONDS_PER_WEIGHT
    )
    longest = max(weights.values(), default=0.0) * each
    return float(max(longest, sum(weights.values()) * each / max(1, jobs)) + _START_S)


def execute(
    points: Sequence[Point], *, jobs: int, run: Callable[..., Outcome] = run_point
) -> Iterator[Outcome]:
    """Yield outcomes as they come; points with one key (equal scenarios) run once."""
    unique = list({point.key: point for point in points}.values())
    unique.sort(key=lambda point: -weight(point.scenario))
    jobs = max(1, min(jobs, len(unique)))
    if jobs == 1:
        for point in unique:
            yield run(point.key, point.scenario)
        return

    from joblib import Parallel, delayed

    pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="all")
    yield from pool(delayed(run)(point.key, point.scenario) for point in unique)
