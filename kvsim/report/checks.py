"""What must hold in the simulated experiment besides the published gains, and what must break it.

Each check is a pure function of sweep tables; a check whose runs are missing says so and neither
passes nor fails.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import pandas as pd

from kvsim.report.storagegrid import CONTEXT, compare_figures, gains
from kvsim.report.sweep_table import by_context, median_over_seeds
from kvsim.text import change_text, short

ORDER: Final = ("gpu", "cpu", "s3", "pnfs")
SPEED_TOLERANCE: Final = 0.01
"""Speeds nearer than this count as equal: a run of 1,200 s holds some 2,500 requests."""
SHORT_CONTEXT: Final = 5_000
COLLAPSED: Final = 0.95
"""A set-up has collapsed where it keeps less than this share of its speed at short contexts."""
ABOUT_GPU: Final = (10_000, 20_000)
ABOUT_CPU: Final = (20_000, 30_000)


@dataclass(frozen=True)
class Check:
    """One statement about the experiment, whether it holds, and what was seen."""

    statement: str
    holds: bool | None
    seen: str


def qualitative_checks(frame: pd.DataFrame) -> list[Check]:
    """Check the order of the set-ups and where they collapse (medians over the seeds)."""
    medians = median_over_seeds(frame, CONTEXT)
    speed = medians.pivot_table(index=CONTEXT, columns="setup", values="finished_per_s")
    ttft = medians.pivot_table(index=CONTEXT, columns="setup", values="ttft_s_mean")
    return [
        _ordered(speed),
        _never_loses(speed),
        _short_contexts(ttft),
        _collapses(speed),
    ]


def negative_controls(candidates: pd.DataFrame | None) -> list[Check]:
    """Check that what should break the match does: sticky sessions, and an H100."""
    sticky = "with sticky sessions no S3 or pNFS figure over GPU + CPU is met"
    h100 = "on an H100 S3 adds about no speed to GPU + CPU (under 10 %)"
    if candidates is None:
        return [Check(statement, None, "not run (make reproduce)") for statement in (sticky, h100)]
    return [_sticky(candidates, sticky), _h100(candidates, h100)]


def collapse_context(speed: pd.Series) -> int | None:
    """Find the first context at which a set-up has lost its speed."""
    ordered = speed.sort_index()
    lost = ordered[ordered < COLLAPSED * ordered.iloc[0]]
    return None if lost.empty else int(lost.index[0])


def _ordered(speed: pd.DataFrame) -> Check:
    statement = "processing speed: GPU \u2264 CPU \u2264 S3 \u2264 pNFS at every context"
    wrong = [
        f"{above} below {below} at {short(context)} ({change_text(change, 1)})"
        for below, above in pairwise(ORDER)
        for context, change in by_context(speed[above] / speed[below] - 1)
        if change < -SPEED_TOLERANCE
    ]
    return Check(statement, not wrong, "; ".join(wrong) or "within 1 % everywhere")


def _never_loses(speed: pd.DataFrame) -> Check:
    worst = (speed["s3"] / speed[["gpu", "cpu"]].max(axis="columns") - 1).min()
    statement = "S3 never loses more than 1 % of speed to a smaller set-up"
    return Check(statement, bool(worst >= -SPEED_TOLERANCE), f"worst {change_text(worst, 1)}")


def _short_contexts(ttft: pd.DataFrame) -> Check:
    change = (ttft["s3"] / ttft["cpu"] - 1)[ttft.index <= SHORT_CONTEXT]
    seen = ", ".join(
        f"{short(context)}: {change_text(value)}" for context, value in by_context(change)
    )
    statement = "up to 5,000 tokens S3's mean TTFT is at most 25 % above GPU + CPU"
    return Check(statement, bool((change <= 0.25).all()), seen)


def _collapses(speed: pd.DataFrame) -> Check:
    at = {setup: collapse_context(speed[setup]) for setup in ORDER}
    gpu, cpu = at["gpu"], at["cpu"]
    holds = (
        gpu is not None
        and cpu is not None
        and gpu < cpu
        and ABOUT_GPU[0] <= gpu <= ABOUT_GPU[1]
        and ABOUT_CPU[0] <= cpu <= ABOUT_CPU[1]
    )
    seen = ", ".join(
        f"{setup} {'never' if where is None else f'at {short(where)}'}"
        for setup, where in at.items()
    )
    return Check("GPU only collapses first (about 15k), then CPU (about 25k)", holds, seen)


def _sticky(candidates: pd.DataFrame, statement: str) -> Check:
    frame = _candidate(candidates, "a100-40gb", "session")
    if frame is None:
        return Check(statement, None, "not run (make reproduce)")
    own = [each for each in compare_figures(frame) if each.figure.baseline == "cpu"]
    seen = "; ".join(
        f"{each.figure.short_name} {change_text(each.median)}"
        f" (published {change_text(each.figure.published)})"
        for each in own
    )
    return Check(statement, not any(each.consistent for each in own), seen)


def _h100(candidates: pd.DataFrame, statement: str) -> Check:
    frame = _candidate(candidates, "h100-sxm-80gb", "round_robin")
    if frame is None:
        return Check(statement, None, "not run (make reproduce)")
    change = gains(frame, setup="s3", baseline="cpu", metric="finished_per_s").max().median()
    return Check(statement, bool(change < 0.1), f"at most {change_text(change, 1)}")


def _candidate(candidates: pd.DataFrame, gpu: str, router: str) -> pd.DataFrame | None:
    rows = candidates[(candidates["gpu"] == gpu) & (candidates["router"] == router)]
    return None if rows.empty else rows
