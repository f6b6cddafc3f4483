"""The film strip counts every request once, in the stage that its instants say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kvsim.report.charts import timeline
from kvsim.report.charts.designs import side_by_side
from kvsim.simulate import simulate
from kvsim.spec import Scenario


@pytest.fixture
def requests() -> pd.DataFrame:
    """Two requests and one that was never scheduled."""
    nan = float("nan")
    return pd.DataFrame(
        {
            "session_id": [1, 2, 3],
            "round_index": [0, 0, 0],
            "outcome": ["finished", "running", "waiting"],
            "arrival_s": [0.0, 1.0, 2.0],
            "scheduled_s": [1.0, 3.0, nan],
            "load_s": [1.0, 0.0, 0.0],
            "first_token_s": [4.0, nan, nan],
            "finished_s": [6.0, nan, nan],
            "hit_tokens_hbm": [1, 0, 0],
            "hit_tokens_cpu": [2, 0, 0],
            "hit_tokens_remote": [3, 0, 0],
            "computed_tokens": [4, 0, 0],
        }
    )


def test_stages_follow_each_other(requests: pd.DataFrame) -> None:
    spans = timeline.stage_spans(requests)
    assert [tuple(map(float, (begin[0], end[0]))) for begin, end in spans.values()] == [
        (0, 1),
        (1, 2),
        (2, 4),
        (4, 6),
    ]
    assert spans["prefill"][1][1] == np.inf


@pytest.mark.parametrize(("at_s", "inside"), [(0.5, 1), (1.5, 2), (5.0, 2), (7.0, 1)])
def test_an_instant_shows_who_is_there(requests: pd.DataFrame, at_s: float, inside: int) -> None:
    figure = timeline.instant(requests, at_s)
    assert f": {inside} requests" in figure.layout.title.text
    for bar in figure.data:
        ends = np.array(bar.base) + np.array(bar.x)
        assert (ends <= 1e-9).all()


def test_too_many_requests_are_counted(requests: pd.DataFrame) -> None:
    assert "1 more not shown" in timeline.instant(requests, 1.5, slots=1).layout.title.text


def test_counts_add_up_to_those_in_the_system(qa: Scenario) -> None:
    result = simulate(qa.replace({"workload.time": 20}))
    rows, end_s = result.requests, result.manifest.end_s
    figure = timeline.stages_over_time(rows, end_s, 5.0)
    times = np.array(figure.data[0].x)
    total = np.sum([trace.y for trace in figure.data], axis=0)
    arrival, end = rows["arrival_s"].to_numpy(), rows["finished_s"].to_numpy()
    assert total.tolist() == [int(((arrival <= t) & (end > t)).sum()) for t in times]
    served = timeline.tokens_so_far(rows, end_s)
    assert sum(trace.y[-1] for trace in served.data) == pytest.approx(
        rows["prompt_tokens"].sum() / 1e6
    )


def test_unstable_designs_are_hatched(qa: Scenario) -> None:
    summary = simulate(qa.replace({"workload.time": 20})).summary_dict()
    figure = side_by_side(["a", "b"], [summary, {**summary, "stable": False, "ttft_s_p95": None}])
    assert {bar.marker.pattern.shape for bar in figure.data if bar.name == "b"} == {"/"}
    assert "hatched" in figure.layout.title.text


@pytest.mark.parametrize("capacity", ["4GiB", "40GiB"])
def test_tiers_fill_up_to_what_they_held_most(qa: Scenario, capacity: str) -> None:
    scenario = qa.replace({"offload.cpu.capacity": capacity})
    assert timeline.fills_up(scenario)
    result = simulate(scenario)
    figure = timeline.tier_fill_over_time(result.transfers, result.tiers, result.manifest.end_s)
    most = result.tiers.groupby("tier")["peak_used_bytes"].sum() / 2**30
    for line, tier in zip(figure.data, ("cpu", "remote"), strict=True):
        level = np.array(line.y)
        assert (np.diff(level) >= 0).all()
        assert level[0] == 0
        assert level[-1] == pytest.approx(most[tier], rel=0.02)


def test_a_tier_that_forgets_by_age_has_no_such_chart(qa: Scenario) -> None:
    forgets = {"offload.cpu.eviction": "ttl", "offload.cpu.ttl": 60}
    assert not timeline.fills_up(qa.replace(forgets))
