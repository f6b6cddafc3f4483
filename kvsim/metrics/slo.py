"""Whether a run kept its promise: attainment, goodput, and each limit on its own.

A request is good when it meets every limit on requests: those with stat `each`, and of each metric
the limit of its highest quantile (a `p99 < 2s` asks of a request that it takes less than 2 s; a
mean asks nothing of one request). Goodput is good requests a second, attainment their fraction of
all requests sent. A request that got no answer meets no limit and counts as infinitely late.

Inter-token gaps are those between the ends of an engine's steps, each counted once for every
decode in the step. Of a single request the mean gap is known, which is its `tpot`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvsim.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from kvsim.metrics.columns import Columns
    from kvsim.metrics.recorder import StepRow
    from kvsim.metrics.result import RunResult
    from kvsim.spec.slo import SloSpec, SloTarget
    from kvsim.workload.request import Request

Floats = NDArray[np.float64]


class Latencies(NamedTuple):
    """What each request of a run took; infinite where no answer came. Warm-ups are left out."""

    ttft_s: Floats
    tpot_s: Floats
    """Zero for answers of one token, which have no gap."""
    e2e_s: Floats
    queue_s: Floats
    prompt_tokens: Floats
    output_tokens: Floats

    @property
    def finished(self) -> NDArray[np.bool_]:
        """Tell which requests got their whole answer."""
        return np.isfinite(self.e2e_s)


class Gaps(NamedTuple):
    """Times between tokens, and how many tokens had each."""

    gap_s: Floats
    tokens: Floats


@dataclass(frozen=True)
class TargetOutcome:
    """One limit and what came of it."""

    target: SloTarget
    value: float
    """The statistic (s, or 1/s); of a limit on each request the fraction that meets it."""
    passed: bool


@dataclass(frozen=True)
class SloReport:
    """What came of a promise."""

    outcomes: tuple[TargetOutcome, ...]
    launched: int
    good: int
    """Requests that meet every limit on requests."""
    attainment: float
    """Good requests / requests sent."""
    goodput_per_s: float
    """Good requests a second."""
    required: float | None
    """Attainment that was promised; none: the promise does not limit single requests."""
    passed: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; values that are infinite become None."""
        return {
            "passed": self.passed,
            "attainment": self.attainment,
            "goodput_per_s": self.goodput_per_s,
            "good": self.good,
            "launched": self.launched,
            "required_attainment": self.required,
            "targets": [
                {
                    "target": outcome.target.label,
                    "relation": outcome.target.relation,
                    "limit": outcome.target.limit,
                    "value": outcome.value if math.isfinite(outcome.value) else None,
                    "passed": outcome.passed,
                }
                for outcome in self.outcomes
            ],
        }


def latencies_of(requests: Iterable[Request], end_s: float) -> Latencies:
    """Take what the limits need from a run's requests."""
    rows = [
        (
            r.arrival_s,
            r.scheduled_s,
            r.first_token_s,
            r.finished_s,
            r.prompt_tokens,
            r.output_tokens,
        )
        for r in requests
        if not r.warmup
    ]
    columns = [np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)]
    return _latencies(*(columns or [np.zeros(0)] * 6), end_s=end_s)


def latencies_from_table(requests: pd.DataFrame, end_s: float) -> Latencies:
    """Take what the limits need from a table of requests, simulated or observed."""
    rows = requests[~requests["warmup"].astype(bool)]
    names = ("arrival_s", "scheduled_s", "first_token_s", "finished_s")
    columns = [
        rows[name].to_numpy(dtype=np.float64) for name in (*names, "prompt_tokens", "output_tokens")
    ]
    return _latencies(*columns, end_s=end_s)


def latencies_of_columns(columns: Columns, end_s: float) -> Latencies:
    """Take what the limits need from columns of requests (see `kvsim.metrics.columns`)."""
    names = ("arrival_s", "scheduled_s", "first_token_s", "finished_s")
    values = [columns[name] for name in (*names, "prompt_tokens", "output_tokens")]
    return _latencies(*values, end_s=end_s)


def _latencies(
    arrival_s: Floats,
    scheduled_s: Floats,
    first_s: Floats,
    finished_s: Floats,
    prompt_tokens: Floats,
    output_tokens: Floats,
    *,
    end_s: float,
) -> Latencies:
    with np.errstate(invalid="ignore"):
        answered = finished_s <= end_s
    several = np.maximum(output_tokens - 1, 1)
    tpot_s = np.where(output_tokens > 1, (finished_s - first_s) / several, 0.0)

    def known(values: Floats) -> Floats:
        return np.where(answered & np.isfinite(values), values, math.inf)

    return Latencies(
        known(first_s - arrival_s),
        known(tpot_s),
        known(finished_s - arrival_s),
        known(scheduled_s - arrival_s),
        prompt_tokens,
        output_tokens,
    )


def token_gaps(rows: Sequence[StepRow] | pd.DataFrame, start_s: float, end_s: float) -> Gaps:
    """Find the times between tokens in the steps that ended within a span."""
    if isinstance(rows, Sequence):
        table = np.array([row[:5] for row in rows], dtype=np.float64).reshape(-1, 5)
    else:
        names = ["instance", "start_s", "num_steps", "end_s", "decodes"]
        table = rows[names].to_numpy(dtype=np.float64)
    gaps, tokens = [np.zeros(0)], [np.zeros(0)]
    for instance in np.unique(table[:, 0]):
        steps = table[table[:, 0] == instance]
        ends = steps[:, 3]
        before = np.concatenate((steps[:1, 1], ends[:-1]))
        chosen = (steps[:, 4] > 0) & (ends > start_s) & (ends <= end_s)
        gaps.append(((ends - before) / steps[:, 2])[chosen])
        tokens.append((steps[:, 4] * steps[:, 2])[chosen])
    return Gaps(np.concatenate(gaps), np.concatenate(tokens))


def evaluate(
    slo: SloSpec, latencies: Latencies, *, span_s: float, gaps: Gaps | None = None
) -> SloReport:
    """Hold a run against its promise; `span_s` is what rates divide by."""
    targets = slo.all_targets
    if not targets:
        raise ConfigError("slo: promises nothing; give ttft, tpot or targets")
    launched = latencies.ttft_s.size
    good = meets_limits(slo, latencies)
    num_good = int(good.sum())
    attainment = num_good / launched if launched else 0.0
    goodput = num_good / span_s if span_s > 0 else 0.0
    outcomes = []
    for target in targets:
        value = _value(target, latencies, gaps, span_s, goodput)
        passed = value >= slo.quantile if target.stat == "each" else target.is_met(value)
        outcomes.append(TargetOutcome(target, value, passed))
    each = [target for target in targets if target.stat == "each"]
    together = np.ones(launched, dtype=bool)
    for target in each:
        together &= _meets(target, latencies)
    kept = not each or (launched > 0 and float(together.mean()) >= slo.quantile)
    return SloReport(
        outcomes=tuple(outcomes),
        launched=launched,
        good=num_good,
        attainment=attainment,
        goodput_per_s=goodput,
        required=slo.quantile if each else None,
        passed=kept and all(outcome.passed for outcome in outcomes),
    )


def meets_limits(slo: SloSpec, latencies: Latencies) -> NDArray[np.bool_]:
    """Tell which requests are good: those that meet every limit on requests."""
    good = np.ones(latencies.ttft_s.size, dtype=bool)
    for target in request_limits(slo.all_targets):
        good &= _meets(target, latencies)
    return good


def evaluate_run(slo: SloSpec, result: RunResult) -> SloReport:
    """Hold a run's result, fresh or loaded, against a promise."""
    start_s, end_s = result.manifest.start_s, result.manifest.end_s
    return evaluate(
        slo,
        latencies_from_table(result.requests, end_s),
        span_s=end_s - start_s,
        gaps=token_gaps(result.steps, start_s, end_s),
    )


def slo_columns(report: SloReport) -> dict[str, float | bool]:
    """Give the figures that a sweep's table keeps of a promise."""
    return {
        "slo_passed": report.passed,
        "slo_attainment": report.attainment,
        "goodput_per_s": report.goodput_per_s,
    }


def request_limits(targets: Iterable[SloTarget]) -> list[SloTarget]:
    """Choose the limits that a single request can meet: one a metric, but all with stat each."""
    chosen: list[SloTarget] = []
    strictest: dict[str, SloTarget] = {}
    for target in targets:
        if target.stat == "each":
            chosen.append(target)
        elif target.stat == "quantile" and target.relation in ("<", "<="):
            kept = strictest.get(target.metric)
            if kept is None or (target.quantile or 0.0) > (kept.quantile or 0.0):
                strictest[target.metric] = target
    return [*chosen, *strictest.values()]


def _column(metric: str, latencies: Latencies) -> Floats:
    match metric:
        case "ttft":
            return latencies.ttft_s
        case "tpot" | "itl":
            return latencies.tpot_s
        case "e2e":
            return latencies.e2e_s
        case "queue":
            return latencies.queue_s
        case _:
            raise AssertionError(f"{metric} is no latency")


def _meets(target: SloTarget, latencies: Latencies) -> NDArray[np.bool_]:
    values = _column(target.metric, latencies)
    return values < target.limit if target.relation == "<" else values <= target.limit


def _value(
    target: SloTarget, latencies: Latencies, gaps: Gaps | None, span_s: float, goodput: float
) -> float:
    if target.stat == "rate":
        return goodput if target.metric == "goodput" else _rate(target.metric, latencies, span_s)
    if target.stat == "each":
        met = _meets(target, latencies)
        return float(met.mean()) if met.size else 0.0
    if target.metric == "itl":
        if gaps is None:
            raise ConfigError("slo: itl needs the engine's steps; limit tpot instead")
        values, weights = gaps
    else:
        values = _column(target.metric, latencies)
        if target.metric == "tpot":
            values = values[(latencies.output_tokens > 1) | ~latencies.finished]
        weights = np.ones(values.size)
    if not values.size:
        return math.inf
    if target.stat == "mean":
        return float(np.average(values, weights=weights))
    assert target.quantile is not None
    return weighted_quantile(values, weights, target.quantile)


def _rate(metric: str, latencies: Latencies, span_s: float) -> float:
    finished = latencies.finished
    output = float(latencies.output_tokens[finished].sum())
    match metric:
        case "request_throughput":
            amount = float(finished.sum())
        case "output_throughput":
            amount = output
        case _:
            amount = output + float(latencies.prompt_tokens[finished].sum())
    return amount / span_s if span_s > 0 else 0.0


def weighted_quantile(values: Floats, weights: Floats, quantile: float) -> float:
    """Return the smallest value that at least this part of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    place = int(np.searchsorted(total, quantile * total[-1] * (1 - 1e-12)))
    return float(values[order][min(place, values.size - 1)])
