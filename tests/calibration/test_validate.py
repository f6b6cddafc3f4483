"""The measured runs that ship with kvsim stay within the errors that are allowed."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from kvsim.calibration.validate import (
    FILLING,
    MAIN_TIERS,
    OBJECTS,
    bars_of,
    find_runs,
    stall_onset_s,
    validate_run,
)
from kvsim.cli import main
from kvsim.errors import CalibrationError
from kvsim.spec import load_scenario

VALIDATION = Path(__file__).parents[2] / "experiments" / "validation"
RUNS = VALIDATION / "runs"


@pytest.mark.parametrize("run_dir", find_runs(RUNS), ids=lambda path: path.name)
def test_every_bar_holds(run_dir: Path) -> None:
    found = validate_run(run_dir, load_scenario(VALIDATION / f"{run_dir.name}.yaml"))
    assert [check for check in found.checks if not check.holds] == []


def test_all_runs_are_found() -> None:
    assert {path.stem for path in VALIDATION.glob("*.yaml")} == {p.name for p in find_runs(RUNS)}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cpu12GB_fs_131k_pool", MAIN_TIERS),
        ("gpu_only_131k_pool", MAIN_TIERS),
        ("cpu60GB_s3_cold", FILLING),
        ("cpu60GB_s3_warm_store", OBJECTS),
    ],
)
def test_bars_follow_the_lowest_tier(name: str, kind: str) -> None:
    assert bars_of(load_scenario(VALIDATION / f"{name}__qa10k.yaml")) == kind


def test_onset_is_the_last_step_before_the_silence() -> None:
    requests = pd.DataFrame({"arrival_s": [0.0, 2.0, 3.0], "warmup": [True, False, False]})
    steps = pd.DataFrame({"end_s": [1.0, 8.0, 9.5, 20.0, 23.0]})
    assert stall_onset_s(requests, steps) == 7.5
    assert stall_onset_s(requests, steps.iloc[:3]) == 7.5
    assert stall_onset_s(requests.iloc[:1], steps) is None


@pytest.fixture
def one_run(tmp_path: Path) -> Path:
    name = "gpu_only_131k_pool__qa10k"
    shutil.copytree(RUNS / name, tmp_path / "runs" / name)
    return tmp_path / "runs"


def test_the_command_prints_a_table(one_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--runs", str(one_run)]) == 0
    shown, progress = capsys.readouterr()
    assert "gpu_only_131k_pool" in shown
    assert "all bars hold" in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert progress == "gpu_only_131k_pool__qa10k ...\n"


def test_a_missed_bar_is_exit_code_1(one_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slow = ["--set", "host.update=20ms"]
    assert main(["validate", "--runs", str(one_run), "--json", *slow]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["holds"] is False
    assert not answer["runs"][0]["holds"]
    assert main(["validate", "--runs", str(one_run), *slow]) == 1
    assert "missed: gpu_only_131k_pool" in capsys.readouterr().out


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="--runs DIR"):
        find_runs(tmp_path)


def test_the_stalled_run_stalls(capsys: pytest.CaptureFixture[str]) -> None:
    name = "cpu12GB_s3_stalled__qa10k"
    (check,) = validate_run(RUNS / name, load_scenario(VALIDATION / f"{name}.yaml")).checks
    assert check.measured == pytest.approx(7.6, abs=0.1)
    assert check.simulated == pytest.approx(7.6, abs=2)
    assert main(["run", str(VALIDATION / f"{name}.yaml"), "--json"]) == 0
    shown, warned = capsys.readouterr()
    summary = json.loads(shown)
    assert summary["died"]
    assert not summary["stable"]
    assert summary["failed"] == summary["launched"] - summary["finished"] > 0
    assert summary["finished"] <= 10  # those that the real engine answered
    assert "warning: the engine can deadlock" in warned
    assert main(["run", str(VALIDATION / f"{name}.yaml")]) == 0
    assert "dead: the engine stopped serving" in capsys.readouterr().out


def test_the_readme_shows_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate"]) == 0
    shown = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
    assert shown in (VALIDATION.parents[1] / "README.md").read_text(encoding="utf-8")
