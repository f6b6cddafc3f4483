"""How far a run is from breaking its promise, and in words which limit it broke."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from kvsim.metrics.slo import SloReport, TargetOutcome


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
        return f"{target.label} <= {target.limit:.4g} holds for {outcome.value:.1%}"
    return (
        f"{target.label} is {outcome.value:.4g}, promised {target.relation} {target.limit:.4g}"
    )


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
