"""What a fit found, and the two shapes that most costs have: a typical value, and a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kvsim.calibration.fit.robust import COLLINEAR, LOOSE, Array, fit_linear, typical
from kvsim.spec import Coefficient

MIN_COUNT = 5
"""Fewer measurements than this are no basis for a coefficient."""


@dataclass(frozen=True, eq=False)
class Residuals:
    """Relative errors of one part of the fit, for the report's charts."""

    part: str
    features: dict[str, Array]
    """Name of a feature to its value for each measurement."""
    errors: Array
    """(measured - fitted) / measured."""
    groups: tuple[str, ...]
    """Run or kind of each measurement."""


@dataclass(eq=False)
class Findings:
    """Coefficients by dotted path, the data's range, and the residuals behind them."""

    coefficients: dict[str, Coefficient] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    residuals: list[Residuals] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the data cannot tell."""

    def add(self, other: Findings) -> None:
        """Take in the findings of another part."""
        self.coefficients |= other.coefficients
        for name, (low, high) in other.ranges.items():
            known = self.ranges.get(name, (low, high))
            self.ranges[name] = (min(low, known[0]), max(high, known[1]))
        self.residuals += other.residuals
        self.notes += other.notes

    def typical(
        self, path: str, values: Sequence[float], *, unit: str, data: str, note: str = ""
    ) -> float | None:
        """Add the median of some values; too few give nothing but a note."""
        if len(values) < MIN_COUNT:
            self.notes.append(f"{path}: {len(values)} measurements ({data}); the profile's holds")
            return None
        array = np.asarray(values, dtype=np.float64)
        value, error = typical(array, name=path)
        value = max(value, 0.0)
        spread = float(np.median(np.abs(array - value))) / value if value else None
        self.coefficients[path] = Coefficient(
            value=value,
            unit=unit,
            standard_error=error,
            count=len(values),
            data=f"{data}, {_span(array, unit)}",
            residual=spread,
            note=note,
        )
        return value

    def mean(self, path: str, values: Sequence[float], *, unit: str, data: str) -> float | None:
        """Add the mean of what is seldom and then long; too few give nothing but a note."""
        if len(values) < MIN_COUNT:
            self.notes.append(f"{path}: {len(values)} measurements ({data}); the profile's holds")
            return None
        array = np.asarray(values, dtype=np.float64)
        value = max(0.0, float(array.mean()))
        self.coefficients[path] = Coefficient(
            value=value,
            unit=unit,
            standard_error=float(array.std(ddof=1) / np.sqrt(len(array))),
            count=len(array),
            data=f"{data}, {_span(array, unit)}",
            note=f"a mean; the median is {np.median(array):.3g}",
        )
        return value

    def line(
        self,
        fixed: str,
        slope: str,
        x: Sequence[float],
        y: Sequence[float],
        *,
        prior_slope: float,
        x_name: str,
        data: str,
    ) -> tuple[float, float] | None:
        """Add y = fixed + slope * x; where x hardly varies, the slope is held at the profile's."""
        if len(y) < MIN_COUNT:
            self.notes.append(f"{fixed}: {len(y)} measurements ({data}); the profile's holds")
            return None
        xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        fit = fit_linear(np.column_stack([np.ones(len(xs)), xs]), ys, np.ones(len(ys)), name=fixed)
        covered = f"{data}, {x_name} {xs.min():,.0f} to {xs.max():,.0f}"
        loose = fit.errors[1] > LOOSE * fit.values[1] or xs.max() < 1.5 * max(xs.min(), 1e-12)
        if loose:
            constant, error = typical(ys - prior_slope * xs, name=fixed)
            constant = max(constant, 0.0)
            values = np.array([constant, prior_slope])
            errors: list[float | None] = [error, None]
            note = f"{x_name} varies too little to tell {fixed} from {slope}, which is held"
            self.notes.append(note)
        else:
            values, errors = fit.values, [float(error) for error in fit.errors]
            collinear = abs(fit.correlation[0, 1]) > COLLINEAR
            note = f"only the sum with {slope} at the usual {x_name} is measured well"
            note = note if collinear else ""
        together = 0.0 if loose else float(np.clip(fit.correlation[0, 1], -1, 1))
        residuals = (ys - values[0] - values[1] * xs) / ys
        typical_error = float(np.median(np.abs(residuals)))
        for path, value, found in zip((fixed, slope), values, errors, strict=True):
            self.coefficients[path] = Coefficient(
                value=float(value),
                unit="s",
                standard_error=found,
                count=len(ys),
                data=covered,
                residual=typical_error,
                identified=not loose,
                note=note,
                moves_with=fixed if together and path == slope else "",
                correlation=together if path == slope else 0.0,
            )
        self.residuals.append(Residuals(fixed, {x_name: xs}, residuals, (data,) * len(ys)))
        return float(values[0]), float(values[1])

    def as_rate(self, path: str, n_bytes: float) -> None:
        """Turn a time for each unit into the rate of moving its bytes."""
        found = self.coefficients[path]
        rate = n_bytes / found.value
        error = found.standard_error
        self.coefficients[path] = found.model_copy(
            update={
                "value": rate,
                "unit": "B/s",
                "standard_error": None if error is None else error / found.value * rate,
                "correlation": -found.correlation,
            }
        )


def _span(values: Array, unit: str) -> str:
    low, high = np.percentile(values, [5, 95])
    if unit == "s":
        return f"{low * 1e3:.3g} to {high * 1e3:.3g} ms (p5, p95)"
    return f"{low:.3g} to {high:.3g} (p5, p95)"
