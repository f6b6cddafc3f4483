"""How far a run is from breaking its promise, and in words which limit it broke."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from kvsim.metrics.slo import SloReport, TargetOutcome
from kvsim.spec.slo import SloTarget
from kvsim.text import duration, percent, requests_per_s


@dataclass(frozen=True)
class Margin:
    """The limit that is nearest to being broken."""

    room: float
    """What is left to the limit, as a part of it; below 0: what is missing."""
    words: str


def failing_words(report: SloReport) -> str:
    """Name the limits of a promise that fail."""
    return ", ".join(outcome_words(outcome) for outcome in report.outcomes if not outcome.passed)


def outcome_words(outcome: TargetOutcome) -> str:
    """Say what a limit is and what came of it."""
    target = outcome.target
    if target.stat == "each":
        return f"{target.label} <= {limit_words(target)} holds for {percent(outcome.value)}"
    value = value_words(target, outcome.value)
    return f"{target.label} is {value}, promised {target.relation} {limit_words(target)}"


def limit_words(target: SloTarget) -> str:
    """Write a limit with its unit."""
    return value_words(target, target.limit)


def value_words(target: SloTarget, value: float) -> str:
    """Write a value of what a limit bounds, with its unit."""
    return requests_per_s(value) if target.stat == "rate" else duration(value)


def tightest(reports: Iterable[SloReport]) -> Margin | None:
    """Return the margin of the limit with the least room over several runs; None of no runs."""
    margins = [
        Margin(_room(outcome, report.required), outcome_words(outcome))
        for report in reports
        for outcome in report.outcomes
    ]
    return min(margins, key=lambda margin: margin.room, default=None)


def _room(outcome: TargetOutcome, required: float | None) -> float:
    target = outcome.target
    if target.stat == "each":
        assert required is not None
        return (outcome.value - required) / required
    if not math.isfinite(outcome.value):
        return -math.inf
    over = (outcome.value - target.limit) / target.limit
    return -over if target.relation in ("<", "<=") else over
