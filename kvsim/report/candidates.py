"""Which GPUs and routers the published figures allow, and why the others cannot be.

One seed a candidate, and an unknown grid of contexts: a figure within its band is no proof, and one
a little outside no refutation. So a candidate is excluded only where a figure that a seed hardly
moves lies beyond twice the band's distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pandas as pd

from kvsim.report.checks import collapse_context
from kvsim.report.figures import median_over_seeds
from kvsim.report.storagegrid import CONTEXT, SimulatedFigure, compare_figures
from kvsim.report.text import short, signed

Verdict = Literal["consistent", "close", "excluded"]
CHAOTIC: Final = ("s3", "cpu", "decode_tokens_per_s_mean")
"""A gain that sub-millisecond changes move by tens of points; it excludes nobody."""
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
        verdict = _verdict(figures)
        judged.append(Candidate(gpu, router, figures, verdict, _why(rows, router, figures)))
    ranks = {"consistent": 0, "close": 1, "excluded": 2}
    return sorted(judged, key=lambda candidate: ranks[candidate.verdict])


def _verdict(figures: Sequence[SimulatedFigure]) -> Verdict:
    if all(each.consistent for each in figures):
        return "consistent"
    return "excluded" if any(_far(each) for each in figures) else "close"


def _far(each: SimulatedFigure) -> bool:
    figure = each.figure
    if (figure.setup, figure.baseline, figure.metric) == CHAOTIC:
        return False
    reach = 2 * max(figure.high - figure.published, figure.published - figure.low)
    return abs(each.median - figure.published) > reach


def _why(rows: pd.DataFrame, router: str, figures: Sequence[SimulatedFigure]) -> str:
    missed = [each for each in figures if not each.consistent]
    if not missed:
        return "all eight figures lie in their bands"
    words = []
    medians = median_over_seeds(rows, CONTEXT)
    speed = medians.pivot_table(index=CONTEXT, columns="setup", values="finished_per_s")
    if router == "session":
        words.append(
            "a session stays on one instance, so its context is computed once and a shared tier "
            "has little to add"
        )
    collapsed = collapse_context(speed["cpu"])
    if collapsed is None:
        words.append("GPU + CPU keeps up at every context, so S3 has no loss to repair")
    elif (s3 := collapse_context(speed["s3"])) is not None and s3 <= collapsed:
        words.append(f"S3 is overloaded from {short(s3)} on, no later than GPU + CPU")
    listed = ", ".join(
        f"{each.figure.short_name} {signed(each.median)} % for {signed(each.figure.published)} %"
        for each in missed
    )
    return "; ".join([*words, f"misses {listed}"])
