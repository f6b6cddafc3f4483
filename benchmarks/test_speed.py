"""One run, its growth with the number of requests, and a sweep (`make bench`)."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import scenarios
from kvsim.simulate import simulate

ROOT = Path(__file__).resolve().parents[1]


def in_a_process(name: str, rounds: int = 1) -> dict[str, Any]:
    """Measure a scenario in a fresh process, whose memory is that of the run alone."""
    words = [sys.executable, "-m", "benchmarks.child", name, str(rounds)]
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def figures(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "wall_s": found["wall_s"],
        "x real time": found["simulated_s"] / found["wall_s"],
        "requests/s": found["requests"] / found["wall_s"],
        "us/request": 1e6 * found["cpu_s"] / found["requests"],
        "events": found["events"],
        "RSS MB": found["rss_mb"],
    }


@pytest.mark.parametrize("name", ["storagegrid", "many_users", "thrashing"])
def test_one_run(name: str, benchmark: Any, note: Any) -> None:
    scenario = getattr(scenarios, name)()
    benchmark.pedantic(simulate, args=(scenario,), rounds=5, warmup_rounds=1)
    found = in_a_process(name, 5)
    note(**figures(found))
    assert found["rss_mb"] < 200


@pytest.mark.parametrize("requests", [2_400, 24_000, 240_000, 1_000_000])
def test_growth(requests: int, benchmark: Any, note: Any, pytestconfig: pytest.Config) -> None:
    if requests == 1_000_000 and not pytestconfig.getoption("--million"):
        pytest.skip("a million requests take minutes: make bench-million")
    rounds = max(1, 48_000 // requests)
    found = benchmark.pedantic(in_a_process, args=(f"growth:{requests}", rounds), rounds=1)
    note(**figures(found))
    assert found["rss_mb"] < 2_000


def test_sweep(benchmark: Any, note: Any, tmp_path: Path) -> None:
    """The demo's sweep: 40 runs on all cores; fails if much of these idles."""
    words = [sys.executable, "-m", "kvsim", "sweep", "experiments/storagegrid.yaml"]

    def run() -> tuple[float, float]:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun_s = time.perf_counter()
        subprocess.run([*words, "--out", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return time.perf_counter() - begun_s, cpu_s

    wall_s, cpu_s = benchmark.pedantic(run, rounds=1)
    runs = len([*tmp_path.glob("runs/*.json")])
    benchmark.extra_info["cores_busy"] = cpu_s / wall_s / (os.cpu_count() or 1)
    note(**{"wall_s": wall_s, "x real time": runs * 1_200 / wall_s})
