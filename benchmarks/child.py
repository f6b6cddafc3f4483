"""Simulate one scenario in a process of its own and print what it cost, as JSON.

python -m benchmarks.child storagegrid 5          best of 5
python -m benchmarks.child growth:240000 1        streamed into a folder that is thrown away
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import scenarios
from kvsim.simulate import simulate


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Return the best processor and wall time of some rounds, and the peak of memory."""
    kind, _, size = name.partition(":")
    scenario = scenarios.growth(int(size)) if size else getattr(scenarios, kind)()
    best_s = best_wall_s = float("inf")
    if size:
        import pyarrow.parquet  # noqa: F401  # not a cost of the run
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            save_to = Path(folder) / "run" if size else None
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            result = simulate(scenario, save_to=save_to)
            best_s = min(best_s, time.process_time() - cpu_s)
            best_wall_s = min(best_wall_s, time.perf_counter() - wall_s)
    summary = result.summary_dict()
    return {
        "cpu_s": best_s,
        "wall_s": best_wall_s,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "requests": summary["launched"],
        "events": summary["events"],
        "simulated_s": summary["simulated_s"],
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))  # noqa: T201
