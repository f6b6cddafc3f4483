"""Fit the roofline of a step: efficiencies of the card's peaks, and a fixed time a layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kvsim.calibration.fit.passes import RunTrace
from kvsim.calibration.fit.results import MIN_COUNT, Findings, Residuals
from kvsim.calibration.fit.robust import COLLINEAR, LOOSE, Array, LinearFit, fit_linear
from kvsim.calibration.fit.step_rows import (
    FEATURES,
    StepFeatures,
    StepRow,
    inverse_efficiencies,
    step_rows,
)
from kvsim.errors import CalibrationError
from kvsim.spec import Coefficient, EngineSpec, GpuEfficiency, GpuSpec, HostSpec, ModelSpec

_ROUNDS = 2
"""Which rows are bound by the GPU hangs on the coefficients, so they are chosen again."""
_MIN_ROWS = 50
_COLLINEAR_LOOSE = 0.02
"""A coefficient that moves with another one must be this sharp to count as identified."""
_PATHS = (
    "layer_overhead",
    "memory",
    "linear_repetitive",
    "linear_diverse",
    "attention",
)


class StepFit:
    """The fitted efficiencies, and the rows that gave them."""

    def __init__(self, rows: Sequence[StepRow], fit: LinearFit, used: Sequence[int]) -> None:
        self.rows = rows
        self.fit = fit
        self.used = tuple(used)

    @property
    def covariance(self) -> Array:
        """Give the covariance of the logarithms of the fitted coefficients."""
        values = np.maximum(self.fit.values, 1e-300)
        signs = np.array([1.0 if index == 0 else -1.0 for index in self.used])
        return np.asarray(self.fit.covariance / np.outer(values, values) * np.outer(signs, signs))

    @property
    def paths(self) -> tuple[str, ...]:
        """Name the fitted coefficients."""
        return tuple(f"gpu.efficiency.{_PATHS[index]}" for index in self.used)


def fit_step(
    traces: Sequence[RunTrace], model: ModelSpec, gpu: GpuSpec, engine: EngineSpec, host: HostSpec
) -> tuple[StepFit, GpuEfficiency, Findings]:
    """Fit all runs together; efficiencies that no run shows stay the profile's."""
    features = StepFeatures(model, gpu, engine)
    inverse = inverse_efficiencies(gpu)
    diverse = {trace.name: trace.diverse for trace in traces}
    for _ in range(_ROUNDS):
        rows = [row for trace in traces for row in step_rows(trace, features, inverse, host)]
        if len(rows) < _MIN_ROWS:
            raise CalibrationError(
                f"{len(rows)} steps whose GPU time is seen; the fit needs {_MIN_ROWS} - record a "
                "run in which decodes are bound by the GPU"
            )
        x = np.array([row.features for row in rows])
        y = np.array([row.seconds for row in rows])
        used = [column for column in range(len(FEATURES)) if _is_shown(rows, x[:, column], column)]
        held = [column for column in range(len(FEATURES)) if column not in used]
        known = x[:, held] @ inverse[held]
        weights = _weights(rows, diverse)
        keep = y - known > 0
        fit = fit_linear(x[keep][:, used], (y - known)[keep], weights[keep], name="step")
        inverse = inverse.copy()
        inverse[used] = fit.values
        rows = [row for row, kept in zip(rows, keep, strict=True) if kept]
    for trace in traces:
        for _row in step_rows(trace, features, inverse, host):
            pass  # leaves the fitted times on the passes
    result = StepFit(rows, fit, used)
    efficiency = _efficiency(gpu.efficiency, inverse)
    return result, efficiency, _findings(result, diverse, inverse)


def _is_shown(rows: Sequence[StepRow], column: Array, index: int) -> bool:
    """Say whether rows of some weight have a feature: the linear ones hang on prefills."""
    if not column.any():
        return False
    if index < 2:
        return True
    count = sum(1 for row, value in zip(rows, column, strict=True) if row.has_prefill and value)
    return count >= MIN_COUNT


def _weights(rows: Sequence[StepRow], diverse: dict[str, bool]) -> Array:
    """Let decodes and prefills, of repeated and of diverse tokens, count alike."""
    kinds = [(row.has_prefill, diverse[row.run]) for row in rows]
    share = {kind: len(rows) / len(set(kinds)) / kinds.count(kind) for kind in set(kinds)}
    return np.array([share[kind] for kind in kinds])


def _efficiency(prior: GpuEfficiency, inverse: Array) -> GpuEfficiency:
    names = _PATHS[1:]
    values = {name: min(1.0, 1 / value) for name, value in zip(names, inverse[1:], strict=True)}
    return prior.model_copy(update={"layer_overhead": float(inverse[0]), **values})


def _findings(result: StepFit, diverse: dict[str, bool], inverse: Array) -> Findings:
    found = Findings()
    fit, rows = result.fit, result.rows
    errors = fit.residuals
    prefill = np.array([row.has_prefill for row in rows])
    features = np.array([row.features for row in rows])
    correlation = np.abs(fit.correlation - np.eye(len(result.used)))
    for place, column in enumerate(result.used):
        path = f"gpu.efficiency.{_PATHS[column]}"
        relative = float(fit.errors[place] / fit.values[place]) if fit.values[place] else 1.0
        partner = int(np.argmax(correlation[place]))
        collinear = correlation[place, partner] > COLLINEAR
        at_edge = column > 0 and inverse[column] < 1.0
        shown = features[:, column] > 0
        if column >= 2:
            shown &= prefill
        note = ""
        if collinear:
            note = (
                f"moves with {_PATHS[result.used[partner]]} "
                f"(bootstrap correlation {correlation[place, partner]:.2f}): their sum is "
                "measured better than either"
            )
        elif relative > LOOSE:
            note = "the data hardly show it"
        elif at_edge:
            note = "above 1, so the profile's peak is too low or another term too large"
        if note:
            found.notes.append(f"{path}: {note}")
        value = float(inverse[column]) if column == 0 else min(1.0, float(1 / inverse[column]))
        found.coefficients[path] = Coefficient(
            value=value,
            unit="s" if column == 0 else "of peak",
            standard_error=relative * value,
            count=int(shown.sum()),
            data=f"{int(shown.sum())} stretches of GPU-bound steps",
            residual=float(np.median(np.abs(errors[shown]))),
            identified=relative <= (_COLLINEAR_LOOSE if collinear else LOOSE),
            note=note,
        )
    missing = [name for column, name in enumerate(_PATHS) if column not in result.used]
    found.notes += [
        f"gpu.efficiency.{name}: no run shows it; the profile's holds" for name in missing
    ]
    found.notes.append(f"step time: condition number {fit.condition:.0f}")
    decodes = np.array([float(row.decodes) for row in rows])
    tokens = np.array([float(row.tokens) for row in rows])
    context = np.array([float(row.context_tokens) for row in rows])
    longest = np.array([float(row.longest_context) for row in rows])
    found.ranges = {
        "decodes per step": (0.0, float(decodes.max())),
        "tokens per step": (1.0, float(tokens.max())),
        "decode context per step": (0.0, float(context.max())),
        "context of one request": (0.0, float(longest.max())),
    }
    named = {"decodes": decodes, "tokens": tokens, "decode context": context, "context": longest}
    kinds = np.array([_kind(row, diverse) for row in rows])
    for title, mask in (("decode steps", ~prefill), ("steps with prefill", prefill)):
        if mask.any():
            part = {name: values[mask] for name, values in named.items()}
            found.residuals.append(Residuals(title, part, errors[mask], tuple(kinds[mask])))
    return found


def _kind(row: StepRow, diverse: dict[str, bool]) -> str:
    return f"{row.run} ({'diverse' if diverse[row.run] else 'repeated'} tokens)"
