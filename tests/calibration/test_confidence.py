"""A run says how far its numbers rest on measurements."""

import json
from pathlib import Path

import pytest

from kvsim.calibration.confidence import (
    Confidence,
    Outside,
    confidence,
    confidence_line,
    measured_basis,
)
from kvsim.cli import main
from kvsim.metrics.result import RunResult
from kvsim.report.confidence_section import run_confidence
from kvsim.report.html import Page
from kvsim.simulate import simulate
from kvsim.spec import load_scenario
from kvsim.sweep.api import sweep

VALIDATION = Path(__file__).parents[2] / "experiments" / "validation"
BENCH = VALIDATION / "cpu40GB_131k_pool__qa10k.yaml"
Capture = pytest.CaptureFixture[str]


def test_the_bench_itself_is_calibrated(capsys: Capture) -> None:
    assert main(["run", str(BENCH), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["confidence"] == "calibrated"
    assert told["out_of_range"] == []
    assert main(["run", str(BENCH)]) == 0
    assert "calibrated: all inside what h100-qwen3-8b was measured on" in capsys.readouterr().out


def test_another_card_is_extrapolated(capsys: Capture) -> None:
    arguments = ["run", str(BENCH), "--set", "gpu=h200", "--set", "workload.time=20"]
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["confidence"] == "extrapolated"
    assert told["out_of_range"][0] == {
        "quantity": "gpu",
        "value": "h200",
        "measured": "h100-sxm-80gb",
        "share": 1.0,
    }
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "extrapolated beyond what h100-qwen3-8b was measured on: gpu h200" in shown


def test_a_saved_run_is_judged_like_a_fresh_one(tmp_path: Path) -> None:
    scenario = load_scenario(BENCH, changes={"workload.time": 30, "workload.qps": 8})
    run = simulate(scenario)
    run.save(tmp_path / "run")
    basis = measured_basis(scenario)
    assert confidence(RunResult.load(tmp_path / "run"), basis) == confidence(run, basis)


def test_partly_is_said(tmp_path: Path) -> None:
    found = Confidence("partly", (Outside("chunks per load", "50", "5 to 46", 0.1),))
    assert confidence_line(found, "x").startswith("partly inside what x was measured on: chunks")


def test_every_row_of_a_sweep_says_how_sure_it_is() -> None:
    base = load_scenario(BENCH, changes={"workload.time": 10})
    frame = sweep(base, {"gpu": ["h100-sxm-80gb", "h200"]})
    assert [*frame["confidence"]] == ["calibrated", "extrapolated"]
    assert [*frame["out_of_range"]] == ["", "gpu"]


def test_a_page_names_what_left_the_range(tmp_path: Path) -> None:
    page = Page("run")
    beyond = Outside("context of one request", "40,000", "0 to 36,096", 0.3)
    run_confidence(page, Confidence("extrapolated", (beyond,)), "a-calibration")
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Extrapolated. Outside what a-calibration was measured on: context of" in text
    assert '<td class="num">0 to 36,096</td><td class="num">30%</td>' in text
