"""Every view of a comparison means the same on both sides."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kvsim.calibration.comparison import (
    TIERS,
    Comparison,
    Distribution,
    compare_in_full,
    load_over_time,
)
from kvsim.cli import main
from kvsim.report import comparison as page
from kvsim.spec import load_scenario

VALIDATION = Path(__file__).parents[2] / "experiments" / "validation"
RUN = VALIDATION / "runs" / "cpu12GB_fs_131k_pool__qa10k"


@pytest.fixture(scope="module")
def compared() -> Comparison:
    return compare_in_full(RUN, load_scenario(VALIDATION / f"{RUN.name}.yaml"))


def test_metrics_are_all_that_was_measured(compared: Comparison) -> None:
    assert {"tpot_s_mean", "e2e_s_mean", "load_s_mean", "hit_tokens_remote", "preemptions"} <= set(
        compared.metrics
    )
    assert "recomputed_evicted_tokens" not in compared.metrics
    assert compared.metrics["preemptions"] == {"measured": 0.0, "simulated": 0.0, "error": 0.0}


def test_quantiles_and_distance() -> None:
    same = Distribution(np.arange(101.0), np.arange(101.0))
    assert same.distance == 0
    assert same.quantiles["measured"].tolist() == pytest.approx([5, 10, 25, 50, 75, 90, 95, 99])
    apart = Distribution(np.zeros(10), np.ones(10))
    assert apart.distance == 1
    assert set(apart.quantiles["error"]) == {1.0}  # measured 0: the difference
    assert Distribution(np.zeros(0), np.ones(3)).distance is None
    assert Distribution(np.zeros(0), np.ones(3)).quantiles.empty


def test_rounds_add_up_to_the_summary(compared: Comparison) -> None:
    for side in ("measured", "simulated"):
        rows = compared.tiers_by_round.query("side == @side")
        total = compared.metrics["prompt_tokens"][side]
        assert rows[list(TIERS)].to_numpy().sum() == total
        assert rows["requests"].sum() == compared.metrics["finished"][side]


def test_step_errors_are_small_where_many_steps_are(compared: Comparison) -> None:
    table = compared.step_errors
    full = table[table["stretches"] >= 50]
    assert len(full) >= 3
    assert (full["median_absolute_error"] < 0.06).all()


def test_load_counts_requests_in_each_state() -> None:
    requests = pd.DataFrame(
        {
            "arrival_s": [10.0, 10.5, 11.0],
            "scheduled_s": [10.2, 12.0, np.nan],
            "finished_s": [12.5, 13.5, 12.8],
        }
    )
    table = load_over_time(requests, requests.assign(), real_start_s=10.0, model_start_s=10.0)
    assert table["time_s"].tolist() == [0, 1, 2, 3, 4]
    assert table["running_measured"].tolist() == [0, 1, 2, 1, 0]
    assert table["waiting_measured"].tolist() == [1, 2, 1, 0, 0]
    assert table["waiting_simulated"].tolist() == table["waiting_measured"].tolist()


def test_command_writes_json_and_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html = tmp_path / "page.html"
    assert main(["compare", str(RUN), "--json", "--html", str(html)]) == 0
    answer = json.loads(capsys.readouterr().out)
    views = {"metrics", "distributions", "tiers_by_round", "step_errors", "load"}
    assert set(answer) == views | {"confidence", "out_of_range"}
    assert set(answer["metrics"]["ttft_s_mean"]) == {"measured", "simulated", "error"}
    assert 0 < answer["distributions"]["ttft_s"]["ks_distance"] < 0.5
    text = html.read_text(encoding="utf-8")
    for words in ("Kolmogorov-Smirnov", "by round", "Step time", "Requests waiting"):
        assert words in text
    assert main(["compare", str(RUN)]) == 0
    shown = capsys.readouterr().out
    assert "decode only" in shown
    assert "p95" in shown


def test_charts_show_both_sides(compared: Comparison) -> None:
    figure = page.distribution("ttft_s", compared.distributions["ttft_s"])
    assert [trace.name.split(" ")[0] for trace in figure.data] == ["measured", "simulated"]
    assert [t.name for t in page.load(compared.load, "running").data] == ["measured", "simulated"]
    shares = sum(
        np.asarray(trace.y) for trace in page.tiers(compared.tiers_by_round, "measured").data
    )
    assert shares == pytest.approx(np.full(15, 100.0))
