"""Several seeds from the command line: tables, promises, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from kvsim.cli import main

BENCH = Path(__file__).parents[3] / "experiments" / "validation" / "cpu40GB_131k_pool__qa10k.yaml"
RUN = ["run", str(BENCH), "--set", "workload.time=15", "--set", "workload.arrival_jitter=0.1"]
Capture = pytest.CaptureFixture[str]


def test_the_runs_and_what_they_say_together_are_saved(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "seeds"
    assert main([*RUN, "--seeds", "3", "--json", "--out", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    runs = pd.read_parquet(out / "runs.parquet")
    assert [*runs["seed"]] == [0, 1, 2]
    assert runs["ttft_s_mean"].nunique() == 3
    assert runs["ttft_s_mean"].mean() == pytest.approx(told["ttft_s_mean"])
    assert told["ttft_s_mean_low"] < told["ttft_s_mean"] < told["ttft_s_mean_high"]
    assert told["confidence"] == "calibrated"
    assert json.loads((out / "summary.json").read_text(encoding="utf-8")) == told
    assert len(pd.read_csv(out / "runs.csv")) == 3


def test_a_promise_is_kept_when_every_seed_keeps_it(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "seeds"
    assert main([*RUN, "--seeds", "3", "--out", str(out)]) == 0
    means = sorted(pd.read_parquet(out / "runs.parquet")["ttft_s_mean"])
    capsys.readouterr()
    for limit_s, kept, code in (
        (means[0] / 2, 0, 3),
        ((means[1] + means[2]) / 2, 2, 3),
        (2 * means[2], 3, 0),
    ):
        promise = f"ttft:mean<{1e3 * limit_s:.6f}ms"
        assert main([*RUN, "--seeds", "3", "--slo", promise]) == code
        assert f"SLO: kept in {kept} of 3 seeds" in capsys.readouterr().out


def test_a_place_where_nothing_can_be_written_is_said_first(
    tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main([*RUN, "--seeds", "2", "--out", str(tmp_path / "file" / "inside")]) == 2
    assert "cannot write there" in capsys.readouterr().err
