"""What a tier has to move: rates by percentile, requests a second, and what is written twice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kvsim.metrics.result import RunResult
from kvsim.spec.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

WINDOW_S = 1.0
"""Rates are means over windows of this length."""
SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class Demand:
    """One direction of one tier, all instances together, over a run."""

    tier: str
    direction: str
    total_bytes: int
    objects: int
    mean_bytes_per_s: float
    p50_bytes_per_s: float
    p95_bytes_per_s: float
    p99_bytes_per_s: float
    peak_bytes_per_s: float
    """Most in any window."""
    mean_objects_per_s: float
    p99_objects_per_s: float
    peak_objects_per_s: float
    limit_bytes_per_s: float | None
    """What the tier can move in this direction at most, as described."""

    @property
    def peak_utilisation(self) -> float | None:
        """Peak over limit."""
        limit = self.limit_bytes_per_s
        return self.peak_bytes_per_s / limit if limit else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "peak_utilisation": self.peak_utilisation}


@dataclass(frozen=True)
class Writes:
    """What a tier was written, and how much of it was new."""

    tier: str
    written_bytes: int
    unique_bytes: int
    """Bytes of different chunks among them."""
    bytes_per_day: float
    """At the rate of the run."""

    @property
    def amplification(self) -> float | None:
        """Bytes written over bytes that were new: 1 is no waste."""
        return self.written_bytes / self.unique_bytes if self.unique_bytes else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "amplification": self.amplification}


def demands(result: RunResult) -> list[Demand]:
    """Measure what each tier below the GPU moved during a run."""
    found = []
    transfers = result.transfers
    start_s, end_s = result.manifest.start_s, result.manifest.end_s
    for tier in ("cpu", "remote"):
        for direction in ("read", "write"):
            rows = transfers[(transfers["tier"] == tier) & (transfers["direction"] == direction)]
            if not rows.empty:
                limit = limit_bytes_per_s(result.scenario, tier, direction)
                scale = ranks_a_row(result.scenario, tier)
                span = (start_s, end_s)
                found.append(_demand(rows, tier, direction, span=span, limit=limit, scale=scale))
    return found


def writes(result: RunResult, tier: str, unique_bytes: int) -> Writes:
    """Hold what was written to a tier against the bytes of the different chunks."""
    transfers = result.transfers
    start_s, end_s = result.manifest.start_s, result.manifest.end_s
    rows = transfers[(transfers["tier"] == tier) & (transfers["direction"] == "write")]
    written = int(rows["n_bytes"].sum()) * ranks_a_row(result.scenario, tier)
    span_s = end_s - start_s
    per_day = written / span_s * SECONDS_PER_DAY if span_s > 0 else 0.0
    return Writes(tier, written, unique_bytes, per_day)


def _demand(
    rows: pd.DataFrame,
    tier: str,
    direction: str,
    *,
    span: tuple[float, float],
    limit: float | None,
    scale: int,
) -> Demand:
    start_s, end_s = span
    begun = rows["started_s"].to_numpy(dtype=np.float64)
    ended = rows["finished_s"].to_numpy(dtype=np.float64)
    n_bytes = rows["n_bytes"].to_numpy(dtype=np.float64) * scale
    objects = rows["objects"].to_numpy(dtype=np.float64) * scale
    rates = window_rates(begun, ended, n_bytes, start_s, end_s)
    requests = window_rates(begun, ended, objects, start_s, end_s)
    p50, p95, p99 = np.quantile(rates, (0.5, 0.95, 0.99)).tolist()
    span_s = max(end_s - start_s, 1e-9)
    return Demand(
        tier=tier,
        direction=direction,
        total_bytes=int(n_bytes.sum()),
        objects=int(objects.sum()),
        mean_bytes_per_s=float(n_bytes.sum()) / span_s,
        p50_bytes_per_s=p50,
        p95_bytes_per_s=p95,
        p99_bytes_per_s=p99,
        peak_bytes_per_s=float(rates.max()),
        mean_objects_per_s=float(objects.sum()) / span_s,
        p99_objects_per_s=float(np.quantile(requests, 0.99)),
        peak_objects_per_s=float(requests.max()),
        limit_bytes_per_s=limit,
    )


def window_rates(
    begun_s: Floats,
    ended_s: Floats,
    amounts: Floats,
    start_s: float,
    end_s: float,
    window_s: float = WINDOW_S,
) -> Floats:
    """Spread each amount evenly over its time and return the mean rate of each window.

    Exact: the amount moved until an instant is piecewise linear.
    """
    ended_s = np.maximum(ended_s, begun_s + 1e-6)  # so that an instant has a rate
    instants = np.concatenate((begun_s, ended_s))
    slopes = np.concatenate((amounts, -amounts)) / np.tile(ended_s - begun_s, 2)
    order = np.argsort(instants, kind="stable")
    instants, rates = instants[order], np.cumsum(slopes[order])
    moved = np.concatenate(([0.0], np.cumsum(rates[:-1] * np.diff(instants))))
    windows = max(1, int(np.ceil((end_s - start_s) / window_s - 1e-9)))
    edges = start_s + window_s * np.arange(windows + 1)
    in_windows: Floats = np.diff(np.interp(edges, instants, moved))
    return np.maximum(in_windows, 0.0) / window_s


def limit_bytes_per_s(scenario: Scenario, tier: str, direction: str) -> float | None:
    """Return what a tier can move in a direction at most, all instances together."""
    if tier == "cpu":
        copy = scenario.host.load if direction == "read" else scenario.host.store
        return copy.bandwidth * scenario.instances * scenario.engine.tensor_parallel_size
    remote = scenario.offload.remote
    if remote is None:
        return None
    way = remote.profile.read if direction == "read" else remote.profile.write
    return way.bandwidth


def ranks_a_row(scenario: Scenario, tier: str) -> int:
    """Return how many ranks one transfer row stands for: rows of the CPU tier hold one rank's."""
    return scenario.engine.tensor_parallel_size if tier == "cpu" else 1
