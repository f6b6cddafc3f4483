"""Published gains beside simulated ones."""

from collections.abc import Callable

import pandas as pd
import pytest

from kvsim.report.storagegrid import (
    PublishedFigure,
    compare_figures,
    gains,
    is_storagegrid,
    published_figures,
    simulate_figure,
)
from kvsim.text import signed

MakeFrame = Callable[..., pd.DataFrame]


def value_text(metric: str, *, low: float, high: float) -> PublishedFigure:
    return PublishedFigure("s3", "cpu", metric, (low + high) / 2, low, high, "")


def test_eight_figures_are_published_with_addresses() -> None:
    figures = published_figures()
    assert [round(100 * each.published) for each in figures] == [
        173,
        -99,
        290,
        76,
        -54,
        88,
        -99,
        -86,
    ]
    assert all(each.address.startswith("https://") for each in figures)
    assert all(each.low <= each.published <= each.high for each in figures)


def test_largest_gain_is_found_with_its_context(make_frame: MakeFrame) -> None:
    found = simulate_figure(make_frame(), value_text("finished_per_s", low=0.6, high=0.9))
    assert found.median == pytest.approx(2.04 / 1.16 - 1)
    assert found.contexts == (25_000,)
    assert found.consistent
    assert found.context_words == "25k"


def test_largest_drop_of_ttft_is_the_most_negative(make_frame: MakeFrame) -> None:
    found = simulate_figure(make_frame(), value_text("ttft_s_mean", low=-0.6, high=-0.4))
    assert found.median == pytest.approx(0.6 / 12 - 1)
    assert not found.consistent


def test_seeds_give_median_and_spread(make_frame: MakeFrame) -> None:
    frame = make_frame(seeds=3)
    worse = (frame["setup"] == "cpu") & (frame["seed"] == 2)
    frame.loc[worse, "finished_per_s"] *= 1.1
    found = simulate_figure(frame, value_text("finished_per_s", low=0.6, high=0.9))
    assert found.lowest < found.median == pytest.approx(found.highest)
    assert len(found.contexts) == 3


def test_gains_have_a_row_a_context_and_a_column_a_seed(make_frame: MakeFrame) -> None:
    table = gains(make_frame(seeds=2), setup="pnfs", baseline="gpu", metric="ttft_s_mean")
    assert table.shape == (8, 2)


def test_different_best_contexts_are_counted(make_frame: MakeFrame) -> None:
    frame = make_frame(seeds=3)
    moved = (frame["setup"] == "cpu") & (frame["seed"] == 1)
    frame.loc[moved & (frame["workload.user_history_prompt"] == 30_000), "finished_per_s"] = 0.1
    found = simulate_figure(frame, value_text("finished_per_s", low=0.6, high=0.9))
    assert found.context_words == "25k (2x), 30k (1x)"


def test_all_figures_compare(make_frame: MakeFrame) -> None:
    assert len(compare_figures(make_frame())) == 8


def test_other_sweeps_are_told_apart(make_frame: MakeFrame) -> None:
    assert is_storagegrid(make_frame())
    assert not is_storagegrid(make_frame(setups=("gpu", "cpu")))
    assert not is_storagegrid(make_frame().rename(columns={"workload.user_history_prompt": "x"}))


def test_words() -> None:
    assert signed(-0.54) == "\N{MINUS SIGN}54"
    assert signed(1.733) == "+173"
    assert value_text("ttft_s_mean", low=-1, high=-0.98).band_words == "\N{MINUS SIGN}98 % or less"
    assert value_text("finished_per_s", low=0.61, high=0.91).band_words == "+61 to +91 %"
    assert value_text("ttft_s_mean", low=-1, high=-0.98).short_name == "s3/cpu TTFT"
