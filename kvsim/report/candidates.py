"""Which GPUs and routers the published figures allow, and why the others cannot be.

One seed a candidate, assumed store rates and an unknown grid of contexts: a figure within its band
is no proof, and one outside no refutation. "Cannot be" is kept for candidates that a reason of
structure rules out: too little to gain over CPU memory, whatever the store and the contexts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pandas as pd

from kvsim.report.checks import collapse_context
from kvsim.report.storagegrid import CONTEXT, SimulatedFigure, compare_figures
from kvsim.report.style import setup_name
from kvsim.report.sweep_table import median_over_seeds

Verdict = Literal["consistent with", "outside", "cannot be"]
CHAOTIC: Final = ("s3", "cpu", "decode_tokens_per_s_mean")
"""A gain that sub-millisecond changes move by tens of points; it decides nothing."""
ROUTER_NAMES: Final = {
    "round_robin": "round robin",
    "least_loaded": "least loaded",
    "random": "random",
    "session": "sticky sessions",
}


@dataclass(frozen=True)
class Candidate:
    """One GPU and router with the figures that it gives."""

    gpu: str
    router: str
    figures: tuple[SimulatedFigure, ...]
    verdict: Verdict
    why: str


def judge_candidates(frame: pd.DataFrame) -> list[Candidate]:
    """Judge every GPU and router of the sweep, consistent ones first."""
    judged = []
    for _, rows in frame.groupby(["gpu", "router"], sort=False):
        gpu, router = str(rows["gpu"].iloc[0]), str(rows["router"].iloc[0])
        figures = tuple(compare_figures(rows))
        verdict, why = _judge(figures, router, keeps_up=_keeping_up(rows))
        judged.append(Candidate(gpu, router, figures, verdict, why))
    ranks: tuple[Verdict, ...] = ("consistent with", "outside", "cannot be")
    return sorted(judged, key=lambda candidate: ranks.index(candidate.verdict))


def _keeping_up(rows: pd.DataFrame) -> set[str]:
    medians = median_over_seeds(rows, CONTEXT)
    speed = medians.pivot_table(index=CONTEXT, columns="setup", values="finished_per_s")
    return {setup for setup in ("gpu", "cpu") if collapse_context(speed[setup]) is None}


def _judge(
    figures: Sequence[SimulatedFigure], router: str, *, keeps_up: set[str]
) -> tuple[Verdict, str]:
    missed = [each for each in figures if not each.consistent]
    if not missed:
        return "consistent with", "all eight figures lie in their bands"
    if "cpu" in keeps_up:
        return "cannot be", "GPU + CPU keeps up at every context: a shared tier has no loss to mend"
    over_cpu = [each for each in figures if each.figure.baseline == "cpu" and not _chaotic(each)]
    if router == "session" and sum(each.consistent for each in over_cpu) < len(over_cpu) / 2:
        return "cannot be", (
            "sessions stay on one instance: no context is computed twice, which is much of what a "
            "shared tier saves"
        )
    words = [_amount(baseline, missed) for baseline in ("gpu", "cpu")]
    return "outside", "; ".join(filter(None, words)) or "misses a figure that seeds move most"


def _amount(baseline: str, missed: Sequence[SimulatedFigure]) -> str:
    """Say whether a baseline loses too much or too little, by most of its missed figures."""
    own = [each for each in missed if each.figure.baseline == baseline and not _chaotic(each)]
    if not own:
        return ""
    less = sum(abs(each.median) < abs(each.figure.published) for each in own)
    amount = "little" if less > len(own) / 2 else "much"
    return f"{setup_name(baseline)} loses too {amount}"


def _chaotic(each: SimulatedFigure) -> bool:
    return (each.figure.setup, each.figure.baseline, each.figure.metric) == CHAOTIC
