"""Charts of sweeps and searches: the right points in the right places."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.report import style
from kvsim.report.charts import sweeps
from kvsim.report.charts.metrics import metric_of

MakeFrame = Callable[..., pd.DataFrame]


def test_excluded_designs_are_crosses_off_the_frontier() -> None:
    table = pd.DataFrame(
        {
            "ttft_s_p99": [1.0, 0.1, 2.0, np.nan],
            "usd_per_hour": [5.0, 1.0, 3.0, 2.0],
            "usd_per_million_tokens": [1.0, 2.0, 3.0, 4.0],
            "feasible": [True, False, True, True],
            "excluded_reason": [None, "breaks ttft", None, None],
            "design": list("abcd"),
        }
    )
    figure = sweeps.pareto(
        table,
        x="ttft_s_p99",
        y="usd_per_hour",
        colour="usd_per_million_tokens",
        name="design",
    )
    out, line, good = figure.data
    assert list(out.text) == ["b: breaks ttft"]
    assert list(line.x) == [1.0, 2.0]
    assert list(good.text) == ["a", "c", "d"]
    assert list(good.marker.color) == [1.0, 3.0, 4.0]
    assert figure.layout.xaxis.type == "log"


def test_a_heatmap_holds_the_means_of_its_cells() -> None:
    table = pd.DataFrame(
        {"a": [1, 1, 2, 2, 2], "b": ["y", "x", "x", "y", "y"], "ttft_s_mean": [1, 2, 3, 4.0, 6]}
    )
    (heat,) = sweeps.heatmap(table, x="a", y="b", value="ttft_s_mean").data
    assert list(heat.x) == ["1", "2"]
    assert list(heat.y) == ["y", "x"]
    assert heat.customdata.tolist() == [[1.0, 5.0], [2.0, 3.0]]
    assert list(heat.text[0]) == ["1", "5"]


def test_a_wide_heatmap_is_coloured_by_its_logarithm() -> None:
    table = pd.DataFrame({"a": [1, 2], "b": [1, 1], "ttft_s_mean": [0.1, 100.0]})
    (heat,) = sweeps.heatmap(table, x="a", y="b", value="ttft_s_mean").data
    assert heat.z.tolist() == [[-1.0, 2.0]]
    assert "0.1" in heat.colorbar.ticktext


def test_a_heatmap_outlines_where_the_promise_is_kept() -> None:
    table = pd.DataFrame(
        {
            "offload.cpu.capacity": [2**30, 2**30, 2**31, 2**31] * 2,
            "users": [1, 2] * 4,
            "ttft_s_mean": [1.0] * 8,
            "stable": [True] * 8,
            "slo_passed": [True, False, True, True] * 2,
        }
    )
    table.loc[6, "stable"] = False  # one seed of two falls behind
    figure = sweeps.heatmap(table, x="users", y="offload.cpu.capacity", value="ttft_s_mean")
    assert list(figure.data[0].y) == ["1GiB", "2GiB"]
    assert figure.layout.title.text.endswith("<sup>outlined: the promise is kept</sup>")
    lines = {(line.x0, line.y0, line.x1, line.y1) for line in figure.layout.shapes}
    around_first = {(-0.5, -0.5, -0.5, 0.5), (0.5, -0.5, 0.5, 0.5)}
    around_first |= {(-0.5, -0.5, 0.5, -0.5), (-0.5, 0.5, 0.5, 0.5)}
    around_last = {(0.5, 0.5, 0.5, 1.5), (1.5, 0.5, 1.5, 1.5)}
    around_last |= {(0.5, 0.5, 1.5, 0.5), (0.5, 1.5, 1.5, 1.5)}
    assert lines == around_first | around_last
    never = table.assign(slo_passed=False)
    figure = sweeps.heatmap(
        never, x="users", y="offload.cpu.capacity", value="ttft_s_mean", name="CPU"
    )
    assert "CPU; the promise is kept nowhere here" in figure.layout.title.text
    assert not figure.layout.shapes


def test_a_tornado_has_the_widest_at_its_top() -> None:
    rows = pd.DataFrame(
        {
            "what": ["a", "b", "c"],
            "low": [0.9, 2.0, np.nan],
            "high": [1.2, 0.5, 3.0],
            "base": [1.0] * 3,
        }
    )
    low, high = sweeps.tornado(rows, "ttft_s_mean").data
    assert list(low.y) == ["a", "b"]  # the last is drawn uppermost; c has no whole bar
    assert list(low.x) == pytest.approx([-0.1, 1.0])
    assert list(high.x) == pytest.approx([0.2, -0.5])
    assert low.base == 1.0


def test_goodput_is_drawn_where_a_promise_was_given(make_frame: MakeFrame) -> None:
    frame = make_frame(setups=("gpu", "cpu")).rename(columns={sweeps.CONTEXT: sweeps.LOAD})
    plain = sweeps.goodput_against_load(frame)
    assert plain.layout.yaxis.title.text == "requests finished per second"
    assert plain.data[0].name == "all that is asked"
    assert plain.data[1].y[0] == 2.05
    kept = sweeps.goodput_against_load(frame.assign(goodput_per_s=0.5))
    assert set(kept.data[1].y) == {0.5}
    assert "Goodput" in kept.layout.title.text


def test_unknown_metrics_go_by_their_name() -> None:
    assert metric_of("a.b_c").title == "b c"
    assert metric_of("ttft_s_p99").lower_is_better


@given(st.floats(1e-6, 1e9), st.floats(1.5, 1e9))
def test_ticks_of_a_log_axis_are_few_and_inside(low: float, times: float) -> None:
    ticks = style.log_ticks(low, low * times)
    assert len(ticks) <= 6
    assert ticks == sorted(ticks)
    assert all(low * 0.99 <= tick <= low * times * 1.01 for tick in ticks)
    if times >= 10:
        assert ticks


@pytest.mark.parametrize(
    ("value", "text"), [(0.05, "0.05"), (20, "20"), (1500, "1.5k"), (64_000, "64k"), (2e6, "2M")]
)
def test_ticks_are_short(value: float, text: str) -> None:
    assert style.tick(value) == text
