"""Sweeps with samples, promises, changes and addresses, as a shell sees them; price lists."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import pandas as pd
import pytest

from kvsim.cli import main
from kvsim.cli.slo import SLO_FAILED

ROOT = Path(__file__).parents[3]
ONE = ROOT / "experiments" / "storagegrid-one.yaml"
SWEEP = f"""
name: tiny
scenario: {ONE}
changes: {{workload.time: 20, workload.num_users: 3, workload.user_history_prompt: 1000}}
sample:
  method: sobol
  points: 4
  ranges:
    workload.qps: {{low: 0.5, high: 2}}
    offload.cpu.capacity: {{low: 20GiB, high: 40GiB, step: 10GiB}}
"""

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def sampled(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(SWEEP, encoding="utf-8")
    return str(path)


def test_a_sample_is_counted_run_and_queried(sampled: str, tmp_path: Path, capsys: Capture) -> None:
    duckdb = pytest.importorskip("duckdb")
    out = tmp_path / "out"
    words = ["sweep", sampled, "--out", str(out), "--jobs", "1"]
    assert main([*words, "--seeds", "2", "--dry-run"]) == 0
    counted = capsys.readouterr().out
    assert re.search(r"tiny: 8 rows, 8 different runs, 8 to do, about \S+ ", counted)
    assert main([*words, "--slo", "ttft:p95<5s", "--set", "instances=1"]) == 0
    shown = capsys.readouterr().out
    assert "SLO" in shown
    assert re.search(r"\d0GiB", shown)
    assert max(len(line) for line in shown.splitlines() if line.startswith("│")) <= 80
    table = pd.read_parquet(out / "sweep.parquet")
    assert len(table) == 4
    assert table["slo_passed"].all()
    assert (table["slo_attainment"] == 1).all()
    again = pd.read_csv(out / "sweep.csv")
    assert again["goodput_per_s"].tolist() == pytest.approx(table["goodput_per_s"].tolist())
    answer = duckdb.sql(f"SELECT max(goodput_per_s) FROM '{out}/sweep.parquet'").fetchall()
    assert answer == [(table["goodput_per_s"].max(),)]
    assert json.loads((out / "sweep.json").read_text())["sample"]["method"] == "sobol"


def test_a_promise_that_no_point_keeps_is_exit_code_3(
    sampled: str, tmp_path: Path, capsys: Capture
) -> None:
    words = ["sweep", sampled, "--jobs", "1", "--out", str(tmp_path / "out")]
    for promise in ("ttft:p95<1ms", '[{"p95_ttft_ms": "<1"}]', "ttft:1"):
        assert main([*words, "--slo", promise]) == SLO_FAILED
    assert "4 of 4 runs" in capsys.readouterr().out


def test_a_sweep_at_an_address_is_resumed_and_reported(
    sampled: str, tmp_path: Path, capsys: Capture
) -> None:
    fsspec = pytest.importorskip("fsspec")
    address = f"memory://{uuid.uuid4()}"
    words = ["sweep", sampled, "--jobs", "1", "--out", address]
    assert main(words) == 0
    assert main([*words, "--resume", "--dry-run"]) == 0
    assert " 0 to do" in capsys.readouterr().out
    assert main(["report", address]) == 0
    assert b"Sweep tiny" in fsspec.filesystem("memory").cat(f"{address}/report.html")
    page = tmp_path / "page.html"
    assert main(["report", address, "--out", str(page)]) == 0
    assert "Sweep tiny" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "promise", ["ttft:p99<2s;itl:p95<50ms", '[{"p99_e2el_ms": "<=9000"}]', "ttft:500 tpot:50"]
)
@pytest.mark.parametrize("option", ["--slo", "--goodput"])
def test_every_command_reads_every_grammar(
    promise: str, option: str, sampled: str, tmp_path: Path
) -> None:
    short = [f"--set=workload.{key}" for key in ("time=5", "num_users=1", "user_history_prompt=9")]
    for words in (
        ["run", str(ONE), *short],
        ["size", str(ONE), *short, "--tier", "hbm"],
        ["search", str(ONE), *short, "--space", "instances=[1]"],
        ["search", str(ONE), *short, "--maximise", "workload.qps", "--low", "2", "--high", "2"],
        ["sweep", sampled, "--out", str(tmp_path), "--jobs", "1", "--set=workload.time=5"],
    ):
        assert main([*words, option, promise]) in (0, SLO_FAILED)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "workload.qps=3"], "--set workload.qps: the sweep itself varies it"),
        (["--set", "workload.qqps=3"], "did you mean 'qps'"),
        (["--slo", "bananas"], "--slo: "),
    ],
)
def test_bad_input_is_one_line(
    sampled: str, arguments: list[str], words: str, capsys: Capture
) -> None:
    assert main(["sweep", sampled, *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


def test_an_address_without_a_sweep_is_named(capsys: Capture) -> None:
    pytest.importorskip("fsspec")
    assert main(["report", f"memory://{uuid.uuid4()}"]) == 2
    assert "no sweep.parquet; run kvsim sweep FILE --out memory://" in capsys.readouterr().err


def test_every_default_price_is_listed_with_source_and_date(capsys: Capture) -> None:
    assert main(["profiles", "prices"]) == 0
    listed = capsys.readouterr().out
    for words in ("cloud-list", "h100-sxm-80gb, hour", "host memory", "TB and month", "assumed"):
        assert words in listed
    rows = [line for line in listed.splitlines() if line.startswith("│")]
    assert rows
    assert all(re.search(r"\d{4}-\d\d-\d\d", line) for line in rows)
    assert main(["profiles", "price", "on-premises"]) == 0
    assert "storage.nfs-tcp.usd_per_tb_month" in capsys.readouterr().out
    assert main(["profiles", "prices", "nowhere"]) == 2
    assert "known: cloud-list, on-premises" in capsys.readouterr().err
