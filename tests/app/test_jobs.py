"""Long work runs in a process of its own, tells how far it is, and stops when told."""

from __future__ import annotations

import gc
import subprocess
from pathlib import Path

import pytest

from kvsim.app import background, turns
from kvsim.app.background import Job
from kvsim.app.jobs import run_job
from kvsim.app.presets import load_preset
from kvsim.errors import SimulationError
from kvsim.metrics.result import RunResult
from kvsim.simulate import simulate

RUNS = Path(__file__).parents[2] / "experiments" / "validation" / "runs"
PRESET = "Measured: cpu40GB_131k_pool"


def test_a_run_in_the_background_is_the_same_run(tmp_path: Path) -> None:
    scenario = load_preset(PRESET)
    folder = tmp_path / "run"
    job = Job({"job": "simulate", "scenario": scenario.to_dict(), "folder": str(folder)})
    assert job.wait(60)
    assert job.result()["folder"] == str(folder)
    assert RunResult.load(folder).summary_dict() == simulate(scenario).summary_dict()


def test_a_stopped_job_is_gone() -> None:
    scenario = load_preset(PRESET).replace({"workload.time": 1_000_000})
    job = Job({"job": "simulate", "scenario": scenario.to_dict(), "folder": "/nonexistent/x"})
    assert not job.wait(0.2)
    process = job._process
    job.cancel()
    assert process.wait(5) != 0
    assert not job.running
    with pytest.raises(SimulationError, match="stopped"):
        job.result()


def test_a_job_that_nobody_holds_is_stopped() -> None:
    scenario = load_preset(PRESET).replace({"workload.time": 1_000_000})
    visit = {
        "job": Job({"job": "simulate", "scenario": scenario.to_dict(), "folder": "/nonexistent/x"})
    }
    process = visit["job"]._process
    assert not visit["job"].wait(0.2)
    visit.clear()
    gc.collect()
    assert process.wait(5) != 0


def test_a_job_whose_visit_has_gone_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "GONE_S", 0.1)
    scenario = load_preset(PRESET).replace({"workload.time": 1_000_000})
    words = {"job": "simulate", "scenario": scenario.to_dict(), "folder": "/nonexistent/x"}
    job = Job(words, is_wanted=lambda: False)
    assert job.wait(10)
    assert job._process.returncode != 0


@pytest.mark.parametrize(
    ("job", "says"),
    [
        ({"job": "nonsense"}, "no job 'nonsense'"),
        ({"job": "simulate", "scenario": {}, "folder": ""}, "missing key"),
        ({"job": "simulate"}, "failed: TypeError"),
    ],
)
def test_a_failed_job_says_why_in_one_line(job: dict[str, object], says: str) -> None:
    failed = Job(job)
    assert failed.wait(60)
    with pytest.raises(SimulationError, match=says) as told:
        failed.result()
    assert "\n" not in str(told.value)


def test_a_job_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    line = turns.Turns(1)
    monkeypatch.setattr(turns, "JOBS", line)
    words = {"job": "nonsense"}
    with line.turn():
        first, second = Job(words), Job(words)
        assert not first.wait(2 * turns.LOOK_S)
        assert first.progress == "waiting for 1 other run"
        assert second.progress == "waiting for 2 other runs"
        first.cancel()
        assert not first.running
        assert not second.wait(2 * turns.LOOK_S)
        assert second.progress == "waiting for 1 other run"
    assert second.wait(60)
    assert second.error == "no job 'nonsense'"


def test_all_jobs_end_with_the_server() -> None:
    scenario = load_preset(PRESET).replace({"workload.time": 1_000_000})
    words = {"job": "simulate", "scenario": scenario.to_dict(), "folder": "/nonexistent/x"}
    jobs = [Job(words), Job(words)]
    background.cancel_all()
    assert not any(job.running for job in jobs)


def test_a_killed_job_is_noticed() -> None:
    scenario = load_preset(PRESET).replace({"workload.time": 1_000_000})
    job = Job({"job": "simulate", "scenario": scenario.to_dict(), "folder": "/nonexistent/x"})
    job._process.kill()
    assert job.wait(10)
    with pytest.raises(SimulationError, match="without a word"):
        job.result()
    assert isinstance(job._process, subprocess.Popen)


def test_runs_are_fitted_and_compared() -> None:
    run = str(RUNS / "cpu40GB_131k_pool__qa10k")
    scenario = load_preset(PRESET).to_dict()
    said: list[str] = []
    fit = run_job(
        {"job": "calibrate", "runs": [run], "scenario": scenario, "name": "mine"}, said.append
    )
    assert fit["spec"]["coefficients"]["gpu.efficiency.memory"]["value"] < 1
    assert fit["yaml"].startswith("#")
    assert fit["figures"]
    assert said == ["fitting 1 run"]
    compared = run_job({"job": "compare", "run": run, "scenario": scenario}, said.append)
    assert abs(compared["metrics"]["ttft_s_mean"]["error"]) < 0.05
    assert "</html>" in compared["html"]
