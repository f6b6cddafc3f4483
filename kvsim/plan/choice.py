"""Choose among set-ups that were simulated: who is out and why, who leads, who ties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvsim.sweep.replications import differences
from kvsim.text import requests_per_s

Record = Mapping[str, Any]
NONE = "none"
"""Chosen where every set-up is rejected."""
MARGIN = 0.05
"""Relative difference below which two set-ups tie: the bar that kvsim's mean time to first token
holds against measured runs (`kvsim validate`)."""
_LABELS = ("setup", "seed")


@dataclass(frozen=True)
class Limits:
    """What a set-up has to keep."""

    has_slo: bool = False
    budget_usd_per_hour: float | None = None


@dataclass(frozen=True)
class Choice:
    """The outcome for one load."""

    chosen: str
    """The set-up, or `none`."""
    leader: str
    """The set-up to look at: the chosen one, else that which answers most requests a second."""
    tied: tuple[str, ...]
    """Others that cannot be told from the best; the cheapest of all these is chosen."""
    rejected: Mapping[str, str]
    """Set-up to reason."""


def choose(records: Sequence[Record], limits: Limits, risks: Mapping[str, str]) -> Choice:
    """Choose the set-up with the lowest mean time to first token, or with a promise the cheapest.

    Ties within the seeds' confidence interval or MARGIN go to the cheaper, then to the one that
    comes first. `risks` name set-ups that are out before any run.
    """
    runs: dict[str, list[Record]] = {}
    for record in records:
        runs.setdefault(record["setup"], []).append(record)
    rejected = {
        setup: reason
        for setup, own in runs.items()
        if (reason := risks.get(setup) or _reason(own, limits)) is not None
    }
    left = [setup for setup in runs if setup not in rejected]
    if not left:
        return Choice(NONE, max(runs, key=lambda s: mean(runs[s], "finished_per_s")), (), rejected)
    cost, wait = "usd_per_hour", "ttft_s_mean"
    metrics = (cost, wait) if limits.has_slo else (wait, cost)
    kept = [record for record in records if record["setup"] in left]
    equal = left
    for metric in metrics:
        best = min(equal, key=lambda s: mean(runs[s], metric))
        ties = {best, *_ties(kept, best, mean(runs[best], metric), metric)}
        equal = [setup for setup in equal if setup in ties]
        if metric == metrics[0]:
            tied = equal
    return Choice(equal[0], equal[0], tuple(s for s in tied if s != equal[0]), rejected)


def mean(runs: Sequence[Record], metric: str) -> float:
    """Return the mean of a figure over seeds; infinite where a run has none."""
    values = [run[metric] for run in runs]
    if any(value is None for value in values):
        return float("inf")
    return float(sum(values) / len(values))


def _ties(records: Sequence[Record], best: str, at: float, metric: str) -> list[str]:
    """Name the set-ups whose difference from the best is small, or not distinct from none."""
    gaps = differences(records, _LABELS, metric, against=best)
    return [
        str(row["setup"])
        for row in gaps.to_dict("records")
        if abs(row["mean"]) <= MARGIN * at or row["low"] <= 0 <= row["high"]
    ]


def _reason(runs: Sequence[Record], limits: Limits) -> str | None:
    """Say what speaks against a set-up in any of its runs."""
    for run in runs:
        if run["died"]:
            return (
                "deadlock: an engine stops for good, a read from the store waits for CPU memory "
                "that uploads hold"
            )
    for run in runs:
        if not run["stable"]:
            return (
                "unstable: answers fall behind questions "
                f"({requests_per_s(run['finished_per_s'])}, "
                f"{run['sessions_max']:,} sessions alive at most)"
            )
    for run in runs:
        if limits.has_slo and not run["slo_passed"]:
            return f"SLO missed: {run['slo_broken']}"
    budget, usd = limits.budget_usd_per_hour, mean(runs, "usd_per_hour")
    if budget is not None and usd > budget:
        return f"over budget: {usd:.2f} USD/h of {budget:.2f}"
    return None
