"""The largest load that a scenario carries within its promise: bracket, then halve.

A search by halving is right where passing is monotone in the load: what holds at a load holds at
every smaller one. So a load a quarter above the border and one a quarter below it are tried too,
and it is said if any load passes above one that fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kvsim.errors import ConfigError
from kvsim.plan.promise import Margin, failing_words, tightest
from kvsim.plan.trial import Trial, try_out
from kvsim.spec.scenario import Scenario
from kvsim.spec.slo import SloSpec

PRECISION = 0.02
"""The answer is at most this part too small (a whole load at most 1, if that is more)."""
FACTOR = 2.0
"""By how much the load grows or shrinks until it brackets the answer."""
CHECK = 1.25
"""How far above and below the border passing is checked to be monotone."""
REACH = 64
"""Without bounds: how many times less or more load than the scenario's is looked at."""


@dataclass(frozen=True)
class LoadAnswer:
    """The largest load, and what ends it."""

    path: str
    value: int | float | None
    """The largest load that passed; none: not even `low` passes."""
    tried: pd.DataFrame
    """A row a load: value, passes, reason, means over the seeds."""
    binding: str
    """What breaks first above the answer, in words."""
    reached_bound: bool
    """Whether `high` itself passes, so that the answer may be larger."""
    monotone: bool
    """Whether every load tried below the answer passes and none above."""
    margin: Margin | None
    """The nearest limit at the answer."""
    low: int | float
    high: int | float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        rows = [
            {str(key): None if _is_nan(value) else value for key, value in row.items()}
            for row in self.tried.to_dict("records")
        ]
        return {
            "path": self.path,
            "value": self.value,
            "binding": self.binding,
            "reached_bound": self.reached_bound,
            "monotone": self.monotone,
            "room": None if self.margin is None else self.margin.room,
            "low": self.low,
            "high": self.high,
            "tried": rows,
        }


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def largest_load(
    scenario: Scenario,
    *,
    path: str,
    slo: SloSpec | None = None,
    low: float | None = None,
    high: float | None = None,
    seeds: int = 1,
    on_progress: Callable[[int], None] | None = None,
) -> LoadAnswer:
    """Find the largest value of `path` with which the run keeps its promise and stays stable.

    The value must be a number, e.g. workload.qps or workload.num_users; whole stays whole. A load
    passes if it does with each of the seeds 0 to `seeds`-1 (one: the scenario's own). Without
    `slo` the scenario's promise holds, without any stability alone. `on_progress` gets the runs
    done.
    """
    start = _number_at(scenario, path)
    whole = isinstance(start, int)
    lowest, highest = _bounds(path, start, low, high)
    probe = _Probe(scenario, path, slo or scenario.slo, seeds, on_progress)
    good, bad = _bracket(probe, min(max(start, lowest), highest), lowest, highest)
    while good is not None and bad is not None and bad - good > _grain(whole, good):
        middle = _middle(good, bad, whole=whole)
        if not good < middle < bad:
            break
        if probe(middle):
            good = middle
        else:
            bad = middle
    _check_around(probe, good, bad, lowest, highest)
    tried = probe.table()
    passes, loads = tried["passes"], tried["load"]
    failing = tried[~passes]
    return LoadAnswer(
        path=path,
        value=good,
        tried=tried,
        binding="nothing up to the bound" if bad is None else probe.faults(bad),
        reached_bound=bad is None,
        monotone=not len(failing) or not (passes & (loads > failing["load"].min())).any(),
        margin=None if good is None else probe.margin(good),
        low=lowest,
        high=highest,
    )


def _number_at(scenario: Scenario, path: str) -> int | float:
    """Return the scenario's own load."""
    value: Any = scenario
    for name in path.split("."):
        value = getattr(value, name, None)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(
            f"{path}: is no number of this scenario; name the load, e.g. workload.qps or "
            "workload.num_users (of traces workload.rate_scale)"
        )
    return value


def _bounds(
    path: str, start: float, low: float | None, high: float | None
) -> tuple[int | float, int | float]:
    whole = isinstance(start, int)
    lowest: int | float
    highest: int | float
    if whole:
        lowest = max(1, math.ceil(low if low is not None else start / REACH))
        highest = math.floor(high if high is not None else max(start, 1) * REACH)
    else:
        lowest = low if low is not None else start / REACH
        highest = high if high is not None else start * REACH
    if not 0 < lowest <= highest < math.inf:
        raise ConfigError(
            f"{path}: no load between low {lowest:g} and high {highest:g}; give 0 < low <= high"
        )
    return lowest, highest


def _grain(whole: bool, at: float) -> float:
    return max(1, int(PRECISION * at)) if whole else PRECISION * at


def _middle(good: float, bad: float, *, whole: bool) -> int | float:
    middle = math.sqrt(good * bad)
    if not whole:
        return float(f"{middle:.4g}")
    return min(max(round(middle), int(good) + 1), int(bad) - 1)


def _bracket(
    probe: _Probe, start: int | float, low: int | float, high: int | float
) -> tuple[int | float | None, int | float | None]:
    """Go out from the start until one load passes and one fails, or a bound is reached."""

    def moved(load: int | float, factor: float) -> int | float:
        other = load * factor
        wanted = (
            (math.ceil(other) if factor > 1 else int(other)) if isinstance(load, int) else other
        )
        return min(max(wanted, low), high)

    if probe(start):
        good = start
        while good < high:
            further = moved(good, FACTOR)
            if not probe(further):
                return good, further
            good = further
        return good, None
    bad = start
    while bad > low:
        nearer = moved(bad, 1 / FACTOR)
        if probe(nearer):
            return nearer, bad
        bad = nearer
    return None, bad


def _check_around(
    probe: _Probe,
    good: int | float | None,
    bad: int | float | None,
    low: int | float,
    high: int | float,
) -> None:
    """Try a load on each side of the border, where the bounds allow it."""
    for border, factor in ((bad, CHECK), (good, 1 / CHECK)):
        if border is None:
            continue
        load = border * factor
        if isinstance(border, int):
            load = math.ceil(load) if factor > 1 else math.floor(load)
        if low <= load <= high:
            probe(load)


class _Probe:
    """Simulates loads, each once."""

    def __init__(
        self,
        scenario: Scenario,
        path: str,
        slo: SloSpec | None,
        seeds: int,
        on_progress: Callable[[int], None] | None,
    ) -> None:
        self._scenario = scenario
        self._path = path
        self._slo = slo
        self._seeds: Sequence[int] = range(seeds) if seeds > 1 else [scenario.seed]
        self._on_progress = on_progress
        self._trials: dict[int | float, list[Trial]] = {}
        self._runs = 0

    def __call__(self, load: int | float) -> bool:
        """Tell whether a load passes."""
        if load not in self._trials:
            scenario = self._scenario.replace({self._path: load})
            self._trials[load] = [self._run(scenario, seed) for seed in self._seeds]
        return not self.faults(load)

    def _run(self, scenario: Scenario, seed: int) -> Trial:
        trial = try_out(scenario.replace({"seed": seed}), self._slo)
        self._runs += 1
        if self._on_progress is not None:
            self._on_progress(self._runs)
        return trial

    def faults(self, load: int | float) -> str:
        """Say why a load fails; empty if it passes."""
        trials = self._trials[load]
        reasons = []
        if any(trial.died for trial in trials):
            reasons.append("an engine dies")
        broken = [trial.slo for trial in trials if trial.slo is not None and not trial.slo.passed]
        if broken:
            reasons.append(failing_words(broken[0]))
        if not all(trial.stable for trial in trials):
            reasons.append("answers do not keep up with questions")
        return "; ".join(reasons)

    def margin(self, load: int | float) -> Margin | None:
        """Return the nearest limit of the promise at a load."""
        return tightest(trial.slo for trial in self._trials[load] if trial.slo is not None)

    def table(self) -> pd.DataFrame:
        """Tabulate all loads that were tried, the smallest first."""
        rows = []
        for load in sorted(self._trials):
            trials = self._trials[load]
            summaries = [trial.result.summary_dict() for trial in trials]
            means = {name: _mean([s[name] for s in summaries]) for name in _SHOWN}
            reports = [trial.slo for trial in trials if trial.slo is not None]
            rows.append(
                {
                    "load": load,
                    "passes": not self.faults(load),
                    **means,
                    "slo_attainment": _mean([report.attainment for report in reports]),
                    "goodput_per_s": _mean([report.goodput_per_s for report in reports]),
                    "stable": all(trial.stable for trial in trials),
                    "reason": self.faults(load),
                }
            )
        return pd.DataFrame(rows)


_SHOWN = ("ttft_s_mean", "ttft_s_p95", "finished_per_s", "output_tokens_per_s", "token_hit_rate")


def _mean(values: Sequence[Any]) -> float:
    if not values or None in values:
        return math.nan
    return sum(float(value) for value in values) / len(values)
