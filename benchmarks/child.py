"""Simulate one scenario in a process of its own and print what it cost, as JSON.

python -m benchmarks.child storagegrid 5          best of 5
python -m benchmarks.child growth:2400 20         mean of 20, streamed into a folder thrown away

A long run passes through fast and slow minutes of a shared machine; only a mean over as many short
runs compares with it.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks import scenarios
from kvsim.simulate import simulate


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Return processor and wall time of some rounds (best; mean for growth), and peak memory."""
    kind, _, size = name.partition(":")
    scenario = scenarios.growth(int(size)) if size else getattr(scenarios, kind)()
    combine = mean if size else min
    cpu: list[float] = []
    wall: list[float] = []
    if size:
        import pyarrow.parquet  # noqa: F401  # not a cost of the run
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            save_to = Path(folder) / "run" if size else None
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            result = simulate(scenario, save_to=save_to)
            cpu.append(time.process_time() - cpu_s)
            wall.append(time.perf_counter() - wall_s)
    summary = result.summary_dict()
    return {
        "cpu_s": combine(cpu),
        "wall_s": combine(wall),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "requests": summary["launched"],
        "events": summary["events"],
        "simulated_s": summary["simulated_s"],
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))  # noqa: T201
