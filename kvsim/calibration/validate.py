"""Hold simulations of measured runs against the errors that are allowed.

A run whose client came to its end is compared metric by metric, and its steps are replayed. A run
whose engine died must die in the simulation too, at about the same time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kvsim.calibration.compare import SHARES, compare_metrics, measured_metrics, simulated_metrics
from kvsim.calibration.observation import observe_run
from kvsim.calibration.readers.run_folder import MeasuredRun, load_run
from kvsim.calibration.replay import replay_run
from kvsim.errors import CalibrationError
from kvsim.simulate import simulate
from kvsim.spec import Scenario

if TYPE_CHECKING:
    import pandas as pd

SPEED = "finished_per_s"
TIERS = "tier_token_shares"
REPLAY = "replay_share"
ONSET = "stall_onset_s"

MAIN_TIERS = "GPU, CPU, files"
OBJECTS = "S3"
FILLING = "S3, filling"
BARS: Mapping[str, Mapping[str, float]] = {
    MAIN_TIERS: {
        "ttft_s_mean": 0.05,
        "ttft_s_p50": 0.06,
        "ttft_s_p95": 0.12,
        "decode_tokens_per_s_mean": 0.025,
    },
    OBJECTS: {
        "ttft_s_mean": 0.08,
        "ttft_s_p50": 0.25,
        "ttft_s_p95": 0.2,
        "decode_tokens_per_s_mean": 0.04,
    },
    FILLING: {
        "ttft_s_mean": 0.12,
        "ttft_s_p50": 0.25,
        "ttft_s_p95": 0.2,
        "decode_tokens_per_s_mean": 0.04,
    },
}
"""Largest relative errors by kind of run."""
SPEED_BAR = 0.005
"""Relative, or one request where that is more."""
TIERS_BAR = 0.002
"""Of the prompt tokens, for the tier that is furthest off."""
REPLAY_BAR = 0.999
ONSET_BAR_S = 2.0
_SILENCE_S = 5.0
"""A busy engine that ends no step for so long has stalled; a lookup that times out takes 3 s."""


@dataclass(frozen=True)
class Check:
    """One metric of one run; `error` is relative, but absolute for shares and instants."""

    metric: str
    measured: float | None
    simulated: float | None
    error: float | None
    bar: float
    holds: bool


@dataclass(frozen=True)
class Validation:
    """How one run fits."""

    name: str
    kind: str
    """Key of BARS."""
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Tell whether no bar is missed."""
        return all(check.holds for check in self.checks)


def find_runs(folder: Path) -> list[Path]:
    """Return the run folders in a folder that can be validated: with client rows, or stalled."""
    runs = [path.parent for path in sorted(folder.glob("*/client.log"))]
    if not runs:
        raise CalibrationError(
            f"{folder}: no run folder (one with client.log) in it; name the folder that holds them "
            "with --runs DIR"
        )
    return runs


def validate_run(run_dir: Path, scenario: Scenario) -> Validation:
    """Simulate and replay one measured run."""
    run = load_run(run_dir)
    kind = bars_of(scenario)
    checks = _stall(run, scenario) if run.summary is None else _fit(run, scenario, kind)
    return Validation(run_dir.resolve().name, kind, tuple(checks))


def bars_of(scenario: Scenario) -> str:
    """Name the bars that hold for a scenario."""
    remote = scenario.offload.remote
    if remote is None or scenario.offload.connector == "none" or remote.profile.medium != "object":
        return MAIN_TIERS
    return OBJECTS if remote.start_from is not None else FILLING


def stall_onset_s(requests: pd.DataFrame, steps: pd.DataFrame) -> float | None:
    """Give the time from the first request that counts to the last step before a long silence.

    An engine that died without one was silent from its last step on.
    """
    arrivals = requests.loc[~requests["warmup"].astype(bool), "arrival_s"]
    if arrivals.empty or steps.empty:
        return None
    first_s = float(arrivals.min())
    ends = np.sort(steps.loc[steps["end_s"] >= first_s, "end_s"].to_numpy(dtype=float))
    if not len(ends):
        return None
    silent = np.flatnonzero(np.diff(ends) > _SILENCE_S)
    return float(ends[silent[0]] if len(silent) else ends[-1]) - first_s


def _fit(run: MeasuredRun, scenario: Scenario, kind: str) -> list[Check]:
    measured = measured_metrics(run)
    simulated = simulated_metrics(simulate(scenario).summary_dict())
    table = compare_metrics(measured, simulated)
    bars = dict(BARS[kind])
    counted = sum(row.ttft_s is not None for row in run.requests)
    bars[SPEED] = max(SPEED_BAR, 1 / counted if counted else 0.0)
    checks = []
    for metric, bar in bars.items():
        row = table[metric]
        error = row["error"]
        holds = error is not None and abs(error) <= bar
        checks.append(Check(metric, row["measured"], row["simulated"], error, bar, holds))
    tiers = [name for name in SHARES if table[name]["error"] is not None]
    if tiers:
        worst = max(tiers, key=lambda name: abs(table[name]["error"] or 0.0))
        row = table[worst]
        off = abs(row["error"] or 0.0)
        checks.append(
            Check(TIERS, row["measured"], row["simulated"], off, TIERS_BAR, off <= TIERS_BAR)
        )
    share = replay_run(run.path, scenario).share
    checks.append(Check(REPLAY, 1.0, share, share - 1, REPLAY_BAR, share >= REPLAY_BAR))
    return checks


def _stall(run: MeasuredRun, scenario: Scenario) -> list[Check]:
    observed = observe_run(run)
    if not observed.died:
        raise CalibrationError(
            f"{run.path}: no client_requests.csv, and the engine did not die; only a run that came "
            "to its end or one that stalled can be validated"
        )
    result = simulate(scenario)
    real_s = stall_onset_s(observed.requests, observed.steps)
    died = bool(result.summary_dict()["died"])
    model_s = stall_onset_s(result.requests, result.steps) if died else None
    error = None if real_s is None or model_s is None else model_s - real_s
    holds = error is not None and abs(error) <= ONSET_BAR_S
    return [Check(ONSET, real_s, model_s, error, ONSET_BAR_S, holds)]
