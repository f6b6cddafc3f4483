"""Charts say what the table says."""

from collections.abc import Callable

import pandas as pd
import pytest

from kvsim.report import style
from kvsim.report.charts import requests as charts
from kvsim.report.charts import sweeps, tokens
from kvsim.report.storagegrid import CONTEXT

MakeFrame = Callable[..., pd.DataFrame]
TITLE = "user context, tokens"


def test_one_line_a_setup_in_its_own_colour(make_frame: MakeFrame) -> None:
    figure = sweeps.metric_by_context(make_frame(), "finished_per_s", x=CONTEXT, x_title=TITLE)
    assert [trace.name for trace in figure.data] == [
        "GPU only",
        "+ CPU",
        "+ CPU + S3",
        "+ CPU + pNFS",
    ]
    assert [trace.line.color for trace in figure.data] == [
        style.HBM,
        style.CPU,
        style.OBJECT_STORE,
        style.FILE_STORE,
    ]
    assert list(figure.data[0].y)[:3] == [2.05, 2.05, 2.04]
    assert figure.layout.xaxis.title.text == TITLE
    assert figure.layout.yaxis.title.text == "requests finished per second"


def test_points_that_do_not_keep_up_are_hollow(make_frame: MakeFrame) -> None:
    figure = sweeps.metric_by_context(make_frame(), "ttft_s_mean", x=CONTEXT, x_title=TITLE)
    symbols = list(figure.data[1].marker.symbol)
    assert symbols == ["square"] * 5 + ["square-open"] * 3
    assert figure.layout.yaxis.type == "log"
    assert "hollow" in figure.layout.title.text


def test_seeds_become_bars_from_least_to_most(make_frame: MakeFrame) -> None:
    one = sweeps.metric_by_context(make_frame(), "finished_per_s", x=CONTEXT, x_title=TITLE)
    three = sweeps.metric_by_context(
        make_frame(seeds=3), "finished_per_s", x=CONTEXT, x_title=TITLE
    )
    assert one.data[0].error_y.array is None
    assert list(three.data[0].error_y.array) == pytest.approx(
        [0.002 * 2.05, 0.002 * 2.05, 0.002 * 2.04, 0.0026, 0.0018, 0.0015, 0.0012, 0.0009]
    )


def test_stacked_sources_fill_the_bar(make_frame: MakeFrame) -> None:
    frame = make_frame(seeds=3)
    odd = (frame["setup"] == "gpu") & (frame["seed"] == 1)
    frame.loc[odd, ["hit_tokens_hbm", "computed_tokens", "recomputed_evicted_tokens"]] += [
        -400_000,
        400_000,
        400_000,
    ]
    figure = tokens.token_sources(frame, x=CONTEXT, x_title=TITLE)
    first_panel = [trace for trace in figure.data if trace.xaxis in (None, "x")]
    total = [sum(values) for values in zip(*(trace.y for trace in first_panel), strict=True)]
    assert total == pytest.approx([100.0] * 8)
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert len(shown) == len(set(shown)) == 7


def test_live_sessions_have_mean_and_most(make_frame: MakeFrame) -> None:
    figure = sweeps.live_sessions(make_frame(), x=CONTEXT, x_title=TITLE)
    assert len(figure.data) == 8
    assert max(figure.data[1].y) == 70


@pytest.fixture
def requests() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "arrival_s": [0.0, 1.0, 2.0, 3.0, 4.0],
            "ttft_s": [0.5, 0.1, 0.2, 0.3, None],
            "computed_tokens": [100, 10, 10, 10, 0],
            "hit_tokens_hbm": [0, 90, 0, 0, 0],
            "hit_tokens_cpu": [0, 0, 90, 0, 0],
            "hit_tokens_remote": [0, 0, 0, 90, 0],
            "outcome": ["finished"] * 4 + ["failed"],
            "warmup": [False] * 5,
        }
    )


def test_requests_are_coloured_by_what_served_them(requests: pd.DataFrame) -> None:
    assert list(charts.served_by(requests))[:4] == ["computed", "hbm", "cpu", "remote"]
    figure = charts.ttft_over_time(requests)
    assert [trace.marker.color for trace in figure.data] == [
        style.FIRST,
        style.HBM,
        style.CPU,
        style.OBJECT_STORE,
    ]


def test_distribution_ends_at_all_requests(requests: pd.DataFrame) -> None:
    figure = charts.ttft_cdf_by_tier(requests)
    assert all(trace.y[-1] == 100 for trace in figure.data)
