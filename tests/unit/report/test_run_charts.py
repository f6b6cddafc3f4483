"""Charts of a run say what its tables say."""

import numpy as np
import pandas as pd
import pytest

from kvsim.metrics.result import RunResult
from kvsim.report import style
from kvsim.report.charts import requests, tiers, tokens


def test_parts_of_the_first_token_add_up_to_it(short_run: RunResult) -> None:
    summary = short_run.summary_dict()
    figure = requests.ttft_waterfall({"s3": short_run.requests})
    total = sum(float(trace.x[0]) for trace in figure.data)
    assert total == pytest.approx(summary["ttft_s_mean"], rel=1e-9)
    assert {trace.name for trace in figure.data} == {
        name for name, _ in requests.TTFT_PARTS.values()
    }
    assert figure.data[2].x[0] == pytest.approx(summary["load_s_mean"])


def test_a_lane_ends_with_the_answers_of_its_session(short_run: RunResult) -> None:
    figure = requests.request_timeline(short_run.requests, limit=7)
    rows = short_run.requests
    rows = rows[(rows["outcome"] == "finished") & ~rows["warmup"]].sort_values("arrival_s").head(7)
    queue, load, prefill, decode = figure.data
    assert list(queue.base) == pytest.approx(list(rows["arrival_s"]))
    for before, after in ((queue, load), (load, prefill), (prefill, decode)):
        assert np.add(before.base, before.x) == pytest.approx(np.asarray(after.base))
    assert np.add(decode.base, decode.x) == pytest.approx(rows["finished_s"].to_numpy())
    assert len(set(queue.y)) == rows["session_id"].nunique()
    assert "more follow" in figure.layout.title.text


@pytest.mark.parametrize("bins", [1, 7, 40])
def test_tokens_over_time_sum_to_the_run(short_run: RunResult, bins: int) -> None:
    figure = tokens.tokens_by_source_over_time(short_run.requests, bins=bins)
    summary = short_run.summary_dict()
    drawn = {trace.name: trace for trace in figure.data}
    width_s = float(figure.data[0].x[1] - figure.data[0].x[0])
    for column in ("hit_tokens_hbm", "hit_tokens_cpu", "hit_tokens_remote"):
        trace = drawn[tokens.SOURCES[column][0]]
        assert sum(trace.y[:-1]) * width_s == pytest.approx(summary[column])
    total = sum(sum(trace.y[:-1]) * width_s for trace in figure.data)
    assert total == pytest.approx(summary["prompt_tokens"])


def test_bars_of_sources_fill_up_to_100(short_run: RunResult) -> None:
    summary = short_run.summary_dict()
    figure = tokens.tokens_by_source({"s3": summary, "again": summary})
    for place in (0, 1):
        assert sum(trace.x[place] for trace in figure.data) == pytest.approx(100)
    assert list(figure.data[0].y) == ["GPU + CPU + S3", "again"]


@pytest.mark.parametrize("bins", [3, 60])
def test_bandwidth_moves_the_bytes_of_the_table(short_run: RunResult, bins: int) -> None:
    rows = short_run.transfers
    figure = tiers.tier_bandwidth(rows, bins=bins, cpu_ranks=2)
    for trace in figure.data:
        tier = "cpu" if trace.name.startswith("CPU") else "remote"
        way = "read" if trace.name.endswith("read") else "write"
        own = rows[(rows["tier"] == tier) & (rows["direction"] == way)]
        width_s = float(trace.x[1] - trace.x[0])
        moved = sum(trace.y) * 1e9 * width_s
        ranks = 2 if tier == "cpu" else 1
        assert moved == pytest.approx(ranks * own["n_bytes"].sum(), rel=1e-6)
        assert trace.line.color == tiers.TIERS[tier][1]


def test_a_limit_is_drawn_where_it_is_near(short_run: RunResult) -> None:
    rows = short_run.transfers
    near = tiers.tier_bandwidth(rows, limits={("cpu", "read"): 1e6})
    far = tiers.tier_bandwidth(rows, limits={("cpu", "read"): 1e15})
    assert [note.text for note in near.layout.annotations][-1] == "most read"
    assert "most read" not in [note.text for note in far.layout.annotations]


def test_fill_is_part_of_the_capacity(short_run: RunResult) -> None:
    figure = tiers.tier_fill(short_run.tiers)
    most, mean = figure.data
    assert all(0 <= low <= high <= 100 for low, high in zip(mean.x, most.x, strict=True))
    assert list(most.y)[:2] == ["GPU memory 0", "CPU memory 0"]


def test_a_day_moves_what_the_run_moves_times_its_share(short_run: RunResult) -> None:
    rows = short_run.transfers
    remote = rows[rows["tier"] == "remote"]
    figure = tiers.storage_bytes_per_day(rows, span_s=43_200.0)
    for place, way in enumerate(("read", "write")):
        total = remote.loc[remote["direction"] == way, "n_bytes"].sum()
        assert figure.data[0].x[place] == pytest.approx(2 * total / 1e12)


def test_a_tier_has_one_colour_in_all_charts(short_run: RunResult) -> None:
    lines = requests.ttft_cdf_by_tier(short_run.requests).data
    assert {line.line.color for line in lines if "CPU" in line.name} <= {style.CPU}
    assert tokens.SOURCES["hit_tokens_cpu"][1] == tiers.TIERS["cpu"][1] == style.CPU
    assert tokens.SOURCES["hit_tokens_remote"][1] == tiers.TIERS["remote"][1] == requests.LOAD


def test_a_store_of_files_has_the_colour_of_its_set_up(short_run: RunResult) -> None:
    span_s = 60.0
    for medium, own in (("object", style.OBJECT_STORE), ("file", style.FILE_STORE)):
        figures = [
            tokens.tokens_by_source({"run": short_run.summary_dict()}),
            tokens.tokens_by_source_over_time(short_run.requests),
            tiers.storage_bytes_per_day(short_run.transfers, span_s=span_s),
            tiers.tier_fill(short_run.tiers),
        ]
        drawn = "".join(style.store_colour(figure, medium).to_json() for figure in figures)
        assert own in drawn
        assert ({style.OBJECT_STORE, style.FILE_STORE} - {own}).pop() not in drawn
        assert style.CPU in drawn


def test_nothing_finished_is_no_error(short_run: RunResult) -> None:
    empty = short_run.requests.iloc[:0]
    assert len(tokens.tokens_by_source_over_time(empty).data) == len(tokens.SOURCES)
    assert len(requests.ttft_cdf_by_tier(empty).data) == 0
    assert len(tiers.tier_bandwidth(short_run.transfers.iloc[:0]).data) == 0


def test_long_runs_make_small_charts() -> None:
    count = 20_000
    rows = pd.DataFrame(
        {
            "arrival_s": np.arange(count, dtype=float),
            "ttft_s": np.linspace(1.0, 2.0, count),
            "outcome": "finished",
            "warmup": False,
            "computed_tokens": 10,
            "hit_tokens_hbm": 0,
            "hit_tokens_cpu": 0,
            "hit_tokens_remote": 0,
        }
    )
    (line,) = requests.ttft_cdf_by_tier(rows).data
    assert len(line.x) == 1_000
    assert (line.x[0], line.x[-1], line.y[-1]) == (1.0, 2.0, 100.0)
    assert np.interp(1.5, line.x, line.y) == pytest.approx(50, abs=0.2)
    scatter = requests.ttft_over_time(rows)
    assert len(scatter.data[0].x) == 4_000
    assert "one request in 5" in scatter.layout.title.text
