"""A measured run beside its simulation in full: metrics, distributions, tiers, steps, load.

Both sides are read from the same tables, so each figure means the same on either. Quantiles are
numpy's linear ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

from kvsim.calibration.compare import Metrics, compare_metrics, full_metrics, simulated_metrics
from kvsim.calibration.confidence import Confidence, confidence, measured_basis
from kvsim.calibration.fit.passes import trace_run
from kvsim.calibration.fit.robust import Array
from kvsim.calibration.fit.step_rows import StepFeatures, inverse_efficiencies, step_rows
from kvsim.calibration.observation import observe_run
from kvsim.calibration.readers.run_folder import MeasuredRun, load_run
from kvsim.simulate import simulate
from kvsim.spec import Scenario

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
TIERS = ("hit_tokens_hbm", "hit_tokens_cpu", "hit_tokens_remote", "computed_tokens")
BATCH_EDGES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTEXT_EDGES = (0, 1_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000)
_GRID_S = 1.0


@dataclass(frozen=True, eq=False)
class Distribution:
    """A quantity of each finished request, sorted, on both sides."""

    measured: Array
    simulated: Array

    @property
    def quantiles(self) -> pd.DataFrame:
        """A row a level: level, measured, simulated, error."""
        rows = []
        if len(self.measured) and len(self.simulated):
            for level in LEVELS:
                real, model = (
                    float(np.quantile(values, level)) for values in (self.measured, self.simulated)
                )
                rows.append((level, real, model, model - real if real == 0 else model / real - 1))
        return pd.DataFrame(rows, columns=["level", "measured", "simulated", "error"])

    @property
    def distance(self) -> float | None:
        """Kolmogorov-Smirnov: the largest difference of the two shares below a value."""
        if not len(self.measured) or not len(self.simulated):
            return None
        return float(ks_2samp(self.measured, self.simulated).statistic)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that is compared of one run."""

    name: str
    metrics: Metrics
    distributions: Mapping[str, Distribution]
    """Of ttft_s and decode_tokens_per_s."""
    tiers_by_round: pd.DataFrame
    """A row a round and side: round_index, side, requests, tokens by tier."""
    step_errors: pd.DataFrame
    """A row a bin of batch and context: stretches of GPU-bound steps, median and mean error."""
    load: pd.DataFrame
    """A row a second from the first launch: running and waiting requests of both sides."""
    confidence: Confidence
    """How far the simulated side stays where the calibration was measured."""
    basis: str
    """Name of that calibration."""

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values for JSON."""
        return {
            "metrics": self.metrics,
            "distributions": {
                name: {
                    "quantiles": _records(found.quantiles),
                    "ks_distance": found.distance,
                    "measured_count": len(found.measured),
                    "simulated_count": len(found.simulated),
                }
                for name, found in self.distributions.items()
            },
            "tiers_by_round": _records(self.tiers_by_round),
            "step_errors": _records(self.step_errors),
            "load": _records(self.load),
            "confidence": self.confidence.verdict,
            "out_of_range": [asdict(item) for item in self.confidence.outside],
        }


def compare_in_full(run_dir: Path | str, scenario: Scenario) -> Comparison:
    """Simulate a measured run's scenario and put everything that was measured beside it."""
    run = load_run(run_dir)
    observed = observe_run(run)
    metrics = full_metrics(run, observed)
    result = simulate(scenario)
    basis = measured_basis(scenario)
    real, model = observed.requests, result.requests
    known = np.array([row.hbm_tokens is not None for row in run.requests], dtype=bool)
    return Comparison(
        name=run.path.resolve().name,
        metrics=compare_metrics(metrics, simulated_metrics(result.summary_dict())),
        distributions={
            name: Distribution(values(_finished(real)), values(_finished(model)))
            for name, values in _QUANTITIES.items()
        },
        tiers_by_round=pd.concat(
            [
                tiers_by_round(real[known], "measured"),
                tiers_by_round(model, "simulated"),
            ],
            ignore_index=True,
        ),
        step_errors=step_errors(run, scenario),
        load=load_over_time(
            real, model, real_start_s=observed.start_s, model_start_s=result.manifest.start_s
        ),
        confidence=confidence(result, basis),
        basis=basis.name,
    )


def tiers_by_round(requests: pd.DataFrame, side: str) -> pd.DataFrame:
    """Sum the prompt tokens of each round by the tier that gave them."""
    rows = _finished(requests)
    groups = rows.groupby("round_index", sort=True)
    table = groups[list(TIERS)].sum().reset_index()
    table.insert(1, "side", side)
    table.insert(2, "requests", groups.size().to_numpy())
    return table


def step_errors(run: MeasuredRun, scenario: Scenario) -> pd.DataFrame:
    """Compare the roofline with the measured time of the run's own GPU-bound steps, by bins.

    Errors are (simulated - measured) / measured of stretches between two instants at which the
    host waited for the GPU; how it chooses them is said in `fit.step_rows`.
    """
    features = StepFeatures(scenario.model, scenario.gpu, scenario.engine)
    inverse = inverse_efficiencies(scenario.gpu)
    rows = [
        (row.decodes, row.context_tokens, row.has_prefill, row.features @ inverse / row.seconds - 1)
        for row in step_rows(trace_run(run), features, inverse, scenario.host)
        if row.seconds > 0
    ]
    frame = pd.DataFrame(rows, columns=["decodes", "context_tokens", "has_prefill", "error"])
    frame["batch"] = _bins(frame["decodes"], BATCH_EDGES)
    frame["context"] = _bins(frame["context_tokens"], CONTEXT_EDGES)
    columns = ["has_prefill", "batch", "context"]
    found = []
    for key, part in frame.groupby(columns, sort=True):
        errors = part["error"].to_numpy(dtype=float)
        absolute = float(np.median(np.abs(errors)))
        found.append((*key, len(errors), float(np.median(errors)), absolute))
    return pd.DataFrame(
        found, columns=[*columns, "stretches", "median_error", "median_absolute_error"]
    ).astype({"has_prefill": bool})


def load_over_time(
    real: pd.DataFrame, model: pd.DataFrame, *, real_start_s: float, model_start_s: float
) -> pd.DataFrame:
    """Count running and waiting requests of both sides each second since the first launch."""
    ends = [
        float(requests[["arrival_s", "finished_s"]].max().max()) - start_s
        for requests, start_s in ((real, real_start_s), (model, model_start_s))
        if len(requests)
    ]
    grid = np.arange(0.0, max(ends, default=0.0) + _GRID_S, _GRID_S)
    columns: dict[str, Any] = {"time_s": grid}
    for side, requests, start_s in (
        ("measured", real, real_start_s),
        ("simulated", model, model_start_s),
    ):
        came = _count(requests["arrival_s"], grid + start_s)
        begun = _count(requests["scheduled_s"], grid + start_s)
        never = requests["scheduled_s"].isna() & requests["finished_s"].notna()
        left_waiting = _count(requests.loc[never, "finished_s"], grid + start_s)
        over = _count(requests["finished_s"], grid + start_s) - left_waiting
        columns[f"running_{side}"] = (begun - over).astype(int)
        columns[f"waiting_{side}"] = (came - begun - left_waiting).astype(int)
    return pd.DataFrame(columns)


def _finished(requests: pd.DataFrame) -> pd.DataFrame:
    return requests[(requests["outcome"] == "finished") & ~requests["warmup"].astype(bool)]


def _ttft(rows: pd.DataFrame) -> Array:
    return np.sort((rows["first_token_s"] - rows["arrival_s"]).dropna().to_numpy(dtype=float))


def _decode(rows: pd.DataFrame) -> Array:
    generation_s = (rows["finished_s"] - rows["first_token_s"]).to_numpy(dtype=float)
    output = rows["output_tokens"].to_numpy(dtype=float)
    moving = generation_s > 0
    return np.sort(output[moving] / generation_s[moving])


_QUANTITIES: Mapping[str, Callable[[pd.DataFrame], Array]] = {
    "ttft_s": _ttft,
    "decode_tokens_per_s": _decode,
}


def _bins(values: pd.Series[Any], edges: tuple[int, ...]) -> pd.Series[Any]:
    """Return the lower edge of each value's bin."""
    places = np.searchsorted(edges, values.to_numpy(dtype=float), side="right") - 1
    return pd.Series(np.array(edges)[places], index=values.index)


def _count(instants: pd.Series[Any], grid: Array) -> Array:
    """Count the instants up to each point of the grid."""
    ordered = np.sort(instants.dropna().to_numpy(dtype=float))
    return np.searchsorted(ordered, grid, side="right").astype(float)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            str(name): value.item() if hasattr(value, "item") else value
            for name, value in row.items()
        }
        for row in frame.to_dict("records")
    ]
