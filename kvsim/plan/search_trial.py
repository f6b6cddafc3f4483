"""What one design comes to: figures, cost, and why it is excluded if it is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvsim.errors import ConfigError, KvsimError
from kvsim.metrics.cost import cost_of, standing_usd_per_hour
from kvsim.metrics.slo import slo_columns
from kvsim.plan.pareto import Direction
from kvsim.plan.promise import failing_words, tightest
from kvsim.plan.search_space import Design
from kvsim.plan.trial import Trial, try_out
from kvsim.spec.cost import PriceList, Prices, resolve_prices
from kvsim.spec.problems import suggest
from kvsim.spec.scenario import Scenario
from kvsim.spec.slo import SloSpec
from kvsim.text import value_text
from kvsim.units import parse_seconds

COSTS: dict[str, Direction] = {
    "usd_per_hour": "min",
    "usd_per_million_tokens": "min",
    "usd_per_million_input_tokens": "min",
    "usd_per_million_cached_tokens": "min",
    "usd_per_million_output_tokens": "min",
    "usd_per_1000_requests": "min",
    "gpus": "min",
}
FIGURES: dict[str, Direction] = {
    "ttft_s_mean": "min",
    "ttft_s_p50": "min",
    "ttft_s_p95": "min",
    "ttft_s_p99": "min",
    "tpot_s_mean": "min",
    "e2e_s_mean": "min",
    "finished_per_s": "max",
    "input_tokens_per_s": "max",
    "output_tokens_per_s": "max",
    "decode_tokens_per_s_mean": "max",
    "token_hit_rate": "max",
    "recomputed_evicted_tokens": "min",
}
PROMISED: dict[str, Direction] = {"slo_attainment": "max", "goodput_per_s": "max"}
OBJECTIVES: dict[str, Direction] = {**COSTS, **FIGURES, **PROMISED}
"""What a search can make small or large, and which of both is better."""

NO_VALUE = 1e12
_UNSTABLE = 1.0
_DEAD = 10.0
_IMPOSSIBLE = 100.0
_LIMIT = re.compile(r"\s*([a-z0-9_]+)\s*(<=|>=|<|>)\s*(\S.*?)\s*")


@dataclass(frozen=True)
class Limit:
    """A further constraint on a design."""

    name: str
    relation: str
    limit: float

    @property
    def words(self) -> str:
        """The constraint as it was written."""
        return f"{self.name}{self.relation}{self.limit:.6g}"

    def excess(self, value: float | None) -> float:
        """Return by which part the value breaks the limit; 0 where it keeps it."""
        if value is None:
            return math.inf
        over = value - self.limit if self.relation[0] == "<" else self.limit - value
        if over < 0 or (over == 0 and self.relation.endswith("=")):
            return 0.0
        return max(over / (self.limit or 1.0), 1e-9)


@dataclass(frozen=True)
class Evaluated:
    """A design that was tried."""

    design: Design
    figures: dict[str, Any]
    """Cost and summary, means over the seeds; empty of what cannot be built."""
    excluded_reason: str | None
    violation: float
    """How far from feasible, for the sampler; 0: feasible."""
    room: float | None
    """What is left to the nearest limit of the promise, as a part of it."""
    binding: str | None
    """That limit in words."""


def parse_objectives(names: Sequence[str]) -> dict[str, Direction]:
    """Read names of objectives."""
    for name in names:
        if name not in OBJECTIVES:
            raise ConfigError(f"objective: {name!r} does not exist; {suggest(name, OBJECTIVES)}")
    return {name: OBJECTIVES[name] for name in names}


def parse_limits(texts: Sequence[str]) -> list[Limit]:
    """Read constraints such as usd_per_hour<20, gpus<=4 and ttft_s_p95<2s."""
    limits = []
    for text in texts:
        match = _LIMIT.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"constraint: {text!r} is none; write e.g. 'usd_per_hour<20' or 'gpus<=4'"
            )
        name, relation, value = match.groups()
        if name not in OBJECTIVES:
            raise ConfigError(f"constraint: {name!r} does not exist; {suggest(name, OBJECTIVES)}")
        try:
            limits.append(Limit(name, relation, parse_seconds(value)))
        except ConfigError:
            raise ConfigError(f"constraint: {text!r}: {value!r} is not a number") from None
    return limits


def value_of(trial: Evaluated, name: str, direction: Direction) -> float:
    """Return a figure of a trial, something very bad where it has none."""
    value = trial.figures.get(name)
    if value is None:
        return NO_VALUE if direction == "min" else -NO_VALUE
    return float(value)


def least_usd_per_hour(
    make: Callable[[Design], Scenario],
    design: Design,
    *,
    prices: PriceList,
    given: Mapping[str, Any],
) -> float:
    """Return what a design costs without any request; 0 for one that cannot be built."""
    try:
        scenario = make(design)
        return sum(standing_usd_per_hour(scenario, prices_of(scenario, prices, given)))
    except KvsimError:
        return 0.0


def prices_of(scenario: Scenario, prices: PriceList, given: Mapping[str, Any]) -> Prices:
    """Choose the prices of a scenario's GPU and store."""
    remote = scenario.offload.remote
    return resolve_prices(prices, scenario.gpu, remote.profile if remote else None, given=given)


def evaluate_design(
    make: Callable[[Design], Scenario],
    design: Design,
    *,
    slo: SloSpec | None,
    limits: Sequence[Limit],
    prices: PriceList,
    given: Mapping[str, Any],
    seeds: Sequence[int],
) -> Evaluated:
    """Simulate a design with every seed; one that cannot be built or run is excluded, not raised.

    `make` turns a design into its scenario. Figures are means over the seeds; the promise has to
    hold in each.
    """
    try:
        scenario = make(design)
        chosen = prices_of(scenario, prices, given)
        trials = [try_out(scenario.replace({"seed": seed}), slo) for seed in seeds]
    except KvsimError as error:
        return Evaluated(design, {}, str(error), _IMPOSSIBLE, None, None)
    figures = _means([_figures(trial, chosen) for trial in trials])
    reasons, violation = _faults(trials, figures, limits)
    margin = tightest(trial.slo for trial in trials if trial.slo is not None)
    return Evaluated(
        design,
        figures,
        "; ".join(reasons) or None,
        violation,
        None if margin is None or not math.isfinite(margin.room) else margin.room,
        None if margin is None else margin.words,
    )


def _figures(trial: Trial, prices: Prices) -> dict[str, Any]:
    costs = cost_of(trial.result, prices).to_dict()
    judged = {} if trial.slo is None else slo_columns(trial.slo)
    return {**costs, **trial.result.summary_dict(), **judged}


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    means: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if isinstance(values[0], bool):
            means[name] = any(values) if name == "died" else all(values)
        elif any(value is None or not math.isfinite(value) for value in values):
            means[name] = None
        else:
            means[name] = values[0] if len(values) == 1 else sum(values) / len(values)
    return means


def _faults(
    trials: Sequence[Trial], figures: Mapping[str, Any], limits: Sequence[Limit]
) -> tuple[list[str], float]:
    """Say what keeps a design out, and how badly."""
    reasons: list[str] = []
    violation = 0.0
    if any(trial.died for trial in trials):
        reasons.append("an engine dies: chunks held by puts leave a read without CPU memory")
        violation += _DEAD
    elif not all(trial.stable for trial in trials):
        reasons.append("answers do not keep up with questions")
        violation += _UNSTABLE
    broken = [trial.slo for trial in trials if trial.slo is not None and not trial.slo.passed]
    if broken:
        worst = tightest(broken)
        assert worst is not None
        by = _by_how_much(-worst.room)
        reasons.append(f"SLO missed: {failing_words(broken[0])}{by}")
        violation += min(max(-worst.room, 1e-9), _DEAD)
    for limit in limits:
        value = figures.get(limit.name)
        excess = limit.excess(value)
        if excess > 0:
            shown = "unknown" if value is None else value_text(value)
            reasons.append(
                f"{limit.name} is {shown}, limit {limit.relation} {value_text(limit.limit)}"
            )
            violation += min(excess, _DEAD)
    return reasons, violation


def _by_how_much(missing: float) -> str:
    """Say how far a limit was missed, as a part of it; nothing of what has no end."""
    if not math.isfinite(missing) or missing <= 0:
        return ""
    return (
        f" ({missing:.0%} off)" if missing < 1 else f" ({value_text(1 + missing)} times the limit)"
    )
