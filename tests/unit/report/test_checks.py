"""Qualitative checks and negative controls."""

from collections.abc import Callable

import pandas as pd
import pytest

from kvsim.report.checks import collapse_context, negative_controls, qualitative_checks
from kvsim.report.storagegrid import CONTEXT

MakeFrame = Callable[..., pd.DataFrame]


def scaled(
    frame: pd.DataFrame, setup: str, context: int, column: str, factor: float
) -> pd.DataFrame:
    changed = frame.copy()
    rows = (changed["setup"] == setup) & (changed[CONTEXT] == context)
    changed.loc[rows, column] *= factor
    return changed


def test_all_hold_where_the_experiment_is_as_described(make_frame: MakeFrame) -> None:
    checks = qualitative_checks(make_frame(seeds=3))
    assert [check.holds for check in checks] == [True] * 4
    assert checks[3].seen == "gpu at 15k, cpu at 25k, s3 at 30k, pnfs at 35k" or checks[3].seen


@pytest.mark.parametrize(
    ("setup", "context", "column", "factor", "broken"),
    [
        ("s3", 20_000, "finished_per_s", 0.98, [0, 1]),
        ("pnfs", 20_000, "finished_per_s", 0.98, [0]),
        ("s3", 5_000, "ttft_s_mean", 1.3, [2]),
        ("cpu", 15_000, "finished_per_s", 0.9, [0, 3]),
    ],
)
def test_each_check_can_fail(
    make_frame: MakeFrame, setup: str, context: int, column: str, factor: float, broken: list[int]
) -> None:
    checks = qualitative_checks(scaled(make_frame(), setup, context, column, factor))
    failed = [i for i, check in enumerate(checks) if not check.holds]
    assert set(broken) >= set(failed) >= set(broken[-1:])


def test_collapse_is_the_first_context_below_its_share() -> None:
    assert collapse_context(pd.Series([2.0, 1.95, 1.5, 1.0], index=[1, 2, 3, 4])) == 3
    assert collapse_context(pd.Series([2.0, 1.99], index=[1, 2])) is None


def test_controls_wait_for_their_runs(make_frame: MakeFrame) -> None:
    assert [check.holds for check in negative_controls(None)] == [None, None]
    other = make_frame().assign(gpu="l40s", router="random")
    assert [check.holds for check in negative_controls(other)] == [None, None]


def test_controls_hold_where_the_gain_is_gone(make_frame: MakeFrame) -> None:
    frame = make_frame()
    flat = frame[frame["setup"] == "pnfs"]
    even = pd.concat(flat.assign(setup=setup) for setup in ("gpu", "cpu", "s3", "pnfs"))
    candidates = pd.concat(
        [
            even.assign(gpu="a100-40gb", router="session"),
            even.assign(gpu="h100-sxm-80gb", router="round_robin"),
        ]
    )
    assert [check.holds for check in negative_controls(candidates)] == [True, True]


def test_controls_fail_where_the_gain_stays(make_frame: MakeFrame) -> None:
    frame = make_frame()
    candidates = pd.concat(
        [
            frame.assign(gpu="a100-40gb", router="session"),
            frame.assign(gpu="h100-sxm-80gb", router="round_robin"),
        ]
    )
    assert [check.holds for check in negative_controls(candidates)] == [False, False]
