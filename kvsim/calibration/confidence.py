"""Say whether a scenario or a run stays where its calibration was measured.

Two kinds of leaving: another card, model or host than that of the runs (the efficiencies carry
over, nobody measured that they do), and quantities beyond the data - more tokens in a step, longer
contexts, more chunks in a transfer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kvsim.metrics.result import RunResult
from kvsim.spec import CalibrationSpec, MultiRoundQaSpec, Scenario
from kvsim.spec.profiles import Roots, find_calibration

Array = NDArray[np.float64]
SHIPPED = "h100-qwen3-8b"
"""The calibration on whose runs the shipped profiles rest too."""
Verdict = Literal["calibrated", "partly", "extrapolated"]
_MOSTLY = 0.2
"""Share of the run's time from which what left the range describes the run."""


@dataclass(frozen=True)
class Outside:
    """One quantity that left the calibrated range."""

    quantity: str
    value: str
    measured: str
    share: float
    """Share of the steps' time or of the transfers; 1 where it holds for the whole scenario."""


@dataclass(frozen=True)
class Confidence:
    """The verdict, and all that speaks against it."""

    verdict: Verdict
    outside: tuple[Outside, ...]

    def __str__(self) -> str:
        """Write it in one line."""
        if not self.outside:
            return self.verdict
        reasons = "; ".join(
            f"{item.quantity} {item.value} (measured {item.measured})" for item in self.outside
        )
        return f"{self.verdict}: {reasons}"


def confidence(
    subject: Scenario | RunResult, calibration: CalibrationSpec | None = None
) -> Confidence:
    """Judge a run by what happened in it, a scenario by what it can come to.

    Without a calibration of its own the scenario's is taken; with neither, nothing was measured.
    """
    scenario = subject if isinstance(subject, Scenario) else subject.scenario
    spec = calibration or scenario.calibration
    if spec is None:
        return Confidence("extrapolated", (Outside("calibration", "none", "nothing", 1.0),))
    found = list(_other_bench(scenario, spec))
    if isinstance(subject, Scenario):
        found += _limits(scenario, spec)
    else:
        found += _run(subject, spec.ranges)
    if not found:
        return Confidence("calibrated", ())
    most = max(item.share for item in found)
    return Confidence("extrapolated" if most >= _MOSTLY else "partly", tuple(found))


def measured_basis(scenario: Scenario) -> CalibrationSpec:
    """Return what to judge a scenario by: its calibration, else the one that kvsim ships."""
    return scenario.calibration or _shipped()


@cache
def _shipped() -> CalibrationSpec:
    return find_calibration(SHIPPED, Roots())


def confidence_columns(result: RunResult) -> dict[str, str]:
    """Give what a sweep's table keeps of a verdict: the word, and the quantities outside."""
    found = confidence(result, measured_basis(result.scenario))
    return {
        "confidence": found.verdict,
        "out_of_range": "; ".join(item.quantity for item in found.outside),
    }


def confidence_line(found: Confidence, basis: str) -> str:
    """Say in one line how far a run can be trusted, and what left the measured range."""
    if not found.outside:
        return f"calibrated: all inside what {basis} was measured on"
    reasons = "; ".join(
        f"{item.quantity} {item.value} (measured {item.measured})" for item in found.outside
    )
    verb = "partly inside" if found.verdict == "partly" else "extrapolated beyond"
    return f"{verb} what {basis} was measured on: {reasons}"


def _other_bench(scenario: Scenario, spec: CalibrationSpec) -> list[Outside]:
    pairs = (
        ("gpu", scenario.gpu.name, spec.gpu),
        ("model", scenario.model.name, spec.model),
        ("host", scenario.host.name, spec.host),
    )
    found = [Outside(name, used, real, 1.0) for name, used, real in pairs if used != real]
    degree = scenario.engine.tensor_parallel_size
    if degree > 1:
        found.append(Outside("tensor parallelism", str(degree), "1", 1.0))
    if scenario.instances > 1 and scenario.offload.remote is not None:
        found.append(Outside("instances on one store", str(scenario.instances), "1", 1.0))
    remote = scenario.offload.remote
    if remote is not None and scenario.offload.connector != "none":
        stores = {path.split(".")[1] for path in spec.coefficients if path.startswith("storage.")}
        if remote.profile.name not in stores:
            known = ", ".join(sorted(stores)) or "none"
            found.append(Outside("remote store", remote.profile.name, known, 1.0))
    return found


def _limits(scenario: Scenario, spec: CalibrationSpec) -> list[Outside]:
    """Compare the scenario's own bounds; how full steps get, only a run tells."""
    work = scenario.workload
    values = {"tokens per step": float(scenario.max_num_batched_tokens)}
    if isinstance(work, MultiRoundQaSpec):
        values["context of one request"] = float(work.last_prompt_tokens + work.answer_len)
    found = []
    for name, value in values.items():
        known = spec.ranges.get(name)
        if known is not None and value > known[1]:
            found.append(Outside(name, f"up to {value:,.0f}", _range(known), 1.0))
    return found


def _run(run: RunResult, ranges: Mapping[str, tuple[float, float]]) -> list[Outside]:
    steps = run.columns(
        "steps", "start_s", "end_s", "num_steps", "decodes", "context_tokens", "prefill_tokens"
    )
    found: list[Outside] = []
    if len(steps["decodes"]):
        weight = (steps["end_s"] - steps["start_s"]).clip(0)
        decodes = steps["decodes"].astype(float)
        # A row of equal steps gives its first context; each step adds a token to each decode.
        context = steps["context_tokens"] + decodes * (steps["num_steps"] - 1)
        for name, values in (
            ("decodes per step", decodes),
            ("decode context per step", context),
            ("tokens per step", decodes + steps["prefill_tokens"]),
        ):
            found += _beyond(name, values, weight, ranges)
    requests = run.columns("requests", "prompt_tokens", "output_tokens")
    if len(requests["prompt_tokens"]):
        length = (requests["prompt_tokens"] + requests["output_tokens"]).astype(float)
        found += _beyond("context of one request", length, np.ones(len(length)), ranges)
    moves = run.columns("transfers", "tier", "direction", "objects")
    kinds = (
        ("chunks per load", "cpu", "read"),
        ("chunks per store", "cpu", "write"),
        ("chunks per remote load", "remote", "read"),
    )
    for name, tier, direction in kinds:
        own = (moves["tier"] == tier) & (moves["direction"] == direction)
        objects = moves["objects"][own].astype(float)
        if len(objects):
            found += _beyond(name, objects, np.ones(len(objects)), ranges)
    return found


def _beyond(
    name: str, values: Array, weight: Array, ranges: Mapping[str, tuple[float, float]]
) -> list[Outside]:
    known = ranges.get(name)
    if known is None:
        return [Outside(name, f"up to {values.max():,.0f}", "nothing", 1.0)]
    out = (values > known[1]) | (values < known[0])
    total = float(weight.sum())
    if not out.any() or not total:
        return []
    low, high = values[out].min(), values[out].max()
    value = f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
    return [Outside(name, value, _range(known), float(weight[out].sum()) / total)]


def _range(known: tuple[float, float]) -> str:
    return f"{known[0]:,.0f} to {known[1]:,.0f}"
