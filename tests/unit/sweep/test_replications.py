"""What several seeds say together."""

from __future__ import annotations

from math import isnan

import pytest
from scipy.stats import t

from kvsim.sweep.replications import differences, intervals

LABELS = ["setup", "qps", "seed"]


def run(setup: str, seed: int, ttft: float | None, *, stable: bool = True) -> dict[str, object]:
    return {"setup": setup, "qps": 1, "seed": seed, "ttft": ttft, "stable": stable, "died": False}


def test_the_mean_has_students_interval() -> None:
    frame = intervals([run("a", seed, ttft) for seed, ttft in enumerate((1.0, 2.0, 3.0))], LABELS)
    (row,) = frame.to_dict("records")
    half = t.ppf(0.975, 2) / 3**0.5
    assert (row["setup"], row["seeds"], row["ttft"], row["stable"]) == ("a", 3, 2.0, True)
    assert row["ttft_low"] == pytest.approx(2 - half)
    assert row["ttft_high"] == pytest.approx(2 + half)
    assert "seed" not in frame


def test_one_unstable_run_makes_the_point_unstable() -> None:
    frame = intervals([run("a", 0, 1.0), run("a", 1, 9.0, stable=False)], LABELS)
    assert not frame["stable"][0]
    assert not frame["died"][0]


def test_a_single_seed_bounds_nothing_and_none_is_no_value() -> None:
    (row,) = intervals([run("a", 0, 1.0)], LABELS).to_dict("records")
    assert row["ttft"] == 1.0
    assert isnan(row["ttft_low"])
    (row,) = intervals([run("a", 0, None), run("a", 1, None)], LABELS).to_dict("records")
    assert isnan(row["ttft"])


def test_points_keep_their_order() -> None:
    frame = intervals([run("b", 0, 1.0), run("a", 0, 2.0), run("b", 1, 3.0)], LABELS)
    assert [*frame["setup"]] == ["b", "a"]


def test_common_seeds_make_differences_sure() -> None:
    base = [run("base", seed, value) for seed, value in enumerate((1.0, 5.0, 9.0))]
    more = [run("more", seed, value) for seed, value in enumerate((1.9, 6.0, 10.1))]
    (row,) = differences(base + more, LABELS, "ttft", against="base").to_dict("records")
    assert row["setup"] == "more"
    assert row["mean"] == pytest.approx(1.0)
    assert 0 < row["low"] < row["high"] < 2


def test_words_of_several_runs_become_the_least_sure_and_all_names() -> None:
    def judged(seed: int, verdict: str, names: str) -> dict[str, object]:
        return {**run("a", seed, 1.0), "confidence": verdict, "out_of_range": names}

    (row,) = intervals(
        [
            judged(0, "partly", "gpu"),
            judged(1, "extrapolated", "gpu; host"),
            judged(2, "calibrated", ""),
        ],
        LABELS,
    ).to_dict("records")
    assert (row["confidence"], row["out_of_range"]) == ("extrapolated", "gpu; host")
