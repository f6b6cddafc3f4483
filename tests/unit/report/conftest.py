"""A sweep's table as the experiment would leave it, made from a few made-up curves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kvsim.metrics.result import RunResult
from kvsim.report.storagegrid import CONTEXT
from kvsim.simulate import simulate
from kvsim.spec.load import load_scenario

CONTEXTS = (1_000, 5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 35_000)
SPEED = {
    "gpu": (2.05, 2.05, 2.04, 1.30, 0.90, 0.75, 0.60, 0.45),
    "cpu": (2.05, 2.05, 2.05, 2.04, 2.03, 1.16, 0.90, 0.80),
    "s3": (2.05, 2.05, 2.05, 2.05, 2.04, 2.04, 1.50, 1.00),
    "pnfs": (2.05, 2.05, 2.05, 2.05, 2.05, 2.05, 1.90, 1.40),
}
TTFT = {
    "gpu": (0.10, 0.30, 0.90, 9.0, 20.0, 40.0, 60.0, 80.0),
    "cpu": (0.08, 0.10, 0.20, 0.40, 0.80, 12.0, 25.0, 30.0),
    "s3": (0.09, 0.11, 0.20, 0.30, 0.40, 0.60, 11.5, 20.0),
    "pnfs": (0.085, 0.105, 0.18, 0.25, 0.30, 0.35, 3.5, 9.0),
}
DECODE = {
    "gpu": (60.0, 50.0, 30.0, 12.0, 9.0, 8.0, 7.0, 6.0),
    "cpu": (60.0, 55.0, 50.0, 40.0, 30.0, 13.0, 10.0, 9.0),
    "s3": (60.0, 55.0, 50.0, 42.0, 35.0, 24.4, 15.0, 10.0),
    "pnfs": (60.0, 55.0, 50.0, 44.0, 38.0, 28.0, 20.0, 15.0),
}


def row(setup: str, position: int, seed: int) -> dict[str, Any]:
    speed = SPEED[setup][position]
    collapsed = speed < 1.95
    prompt = 1_000_000
    elsewhere = 2_000 if setup in ("s3", "pnfs") else 100_000
    evicted = 300_000 if collapsed and setup in ("gpu", "cpu") else 0
    computed = 50_000 + elsewhere + evicted
    remote = 20_000 if setup in ("s3", "pnfs") else 0
    cpu = 0 if setup == "gpu" else 300_000
    return {
        "setup": setup,
        CONTEXT: CONTEXTS[position],
        "seed": seed,
        "finished_per_s": speed * (1 + 0.002 * seed),
        "ttft_s_mean": TTFT[setup][position] * (1 + 0.01 * seed),
        "ttft_s_p95": 3 * TTFT[setup][position],
        "decode_tokens_per_s_mean": DECODE[setup][position],
        "prompt_tokens": prompt,
        "computed_tokens": computed,
        "hit_tokens_hbm": prompt - computed - remote - cpu,
        "hit_tokens_cpu": cpu,
        "hit_tokens_remote": remote,
        "recomputed_elsewhere_tokens": elsewhere,
        "recomputed_evicted_tokens": evicted,
        "token_hit_rate": 1 - computed / prompt,
        "finished": 40,
        "sessions_mean": 40.0 if collapsed else 15.5,
        "sessions_max": 70 if collapsed else 16,
        "stable": not collapsed,
        "died": False,
    }


@pytest.fixture
def make_frame() -> Callable[..., pd.DataFrame]:
    """Make the table for some seeds, without some set-ups if asked."""

    def make(seeds: int = 1, setups: tuple[str, ...] = tuple(SPEED)) -> pd.DataFrame:
        return pd.DataFrame(
            row(setup, position, seed)
            for setup in setups
            for position in range(len(CONTEXTS))
            for seed in range(seeds)
        )

    return make


@pytest.fixture(scope="session")
def short_run() -> RunResult:
    """Simulate a minute with all tiers, a CPU tier that is too small, and a promise."""
    changes = {
        "workload.time": 60,
        "workload.num_users": 6,
        "workload.user_history_prompt": 4_000,
        "offload.cpu.capacity": "2GiB",
        "slo": "ttft:p95<2s;tpot:p50<1ms",
    }
    path = Path(__file__).parents[3] / "experiments" / "storagegrid-one.yaml"
    return simulate(load_scenario(path, changes=changes))
