"""How far the errors of a calibration reach into the figures of a run.

A draw takes every fitted coefficient that the scenario uses from its distribution: those of the
step time together (a normal distribution of their logarithms, with the covariance of the fit), the
others normal around the fitted value with their standard errors. A line's constant and its slope,
of which often only the sum is known well, are drawn with their correlation (a normal copula).
Where an error is as large as its value, cutting off what lies below zero moves the middle up. What
the fit held, and what was set by hand, stays.

Draws are physical: fractions of a peak do not exceed 1, factors are at least 1, all else is above
zero. What is not is drawn again, which for a single coefficient is a truncated normal distribution.

The interval says how much the coefficients leave open. It holds neither the error of the model's
form nor the spread between seeds, for all draws share the seed of the scenario.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm, truncnorm

from kvsim.calibration.confidence import SHIPPED
from kvsim.errors import ConfigError
from kvsim.spec import CalibrationSpec, Scenario

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95
"""Part of the draws inside an interval."""
_LIMITS: Mapping[str, tuple[float, float]] = {"of peak": (0.0, 1.0), "factor": (1.0, math.inf)}
_ABOVE_ZERO = (0.0, math.inf)
_STORE = "offload.remote.profile"
_MAX_TRIES = 1000
_GROUP = 1
"""Second stream of a draw, so that trying again there moves no other coefficient."""


def draw_coefficients(scenario: Scenario, draws: int) -> list[dict[str, float]]:
    """Draw changes to a calibrated scenario; the same scenario and number give the same draw."""
    spec = scenario.calibration
    if spec is None:
        raise ConfigError(
            f"{scenario.name} has no calibration, so nothing says how sure its numbers are; "
            f"add --set calibration={SHIPPED}, or a file that kvsim calibrate RUN_DIR... "
            "--out FILE has made of your own runs"
        )
    places = _used(scenario, spec)
    alone = {
        path: coefficient
        for path, coefficient in spec.coefficients.items()
        if path in places and path not in spec.correlated and coefficient.standard_error
    }
    together = [
        n for n, path in enumerate(spec.correlated) if path in places and _value(spec, path) > 0
    ]
    if not alone and not together:
        raise ConfigError(
            f"calibration {spec.name}: no coefficient that {scenario.name} uses has a standard "
            "error, so nothing says how sure its numbers are; fit it anew from recorded runs"
        )
    found = []
    for number in range(draws):
        uniform = np.random.default_rng([scenario.seed, number])
        changes: dict[str, float] = {}
        parts: dict[str, float] = {}
        for path, coefficient in alone.items():
            low, high = _LIMITS.get(coefficient.unit, _ABOVE_ZERO)
            value, error = coefficient.value, float(coefficient.standard_error or 0.0)
            ends = ((low - value) / error, (high - value) / error)
            part = 1.0 - uniform.random()  # in (0, 1]: the lower limit itself is not drawn
            partner = parts.get(coefficient.moves_with)
            if partner is not None:
                part = _with(partner, part, coefficient.correlation)
            parts[path] = part
            changes[places[path]] = float(value + error * truncnorm.ppf(part, *ends))
        if together:
            paths = [spec.correlated[n] for n in together]
            stream = np.random.default_rng([scenario.seed, number, _GROUP])
            for path, value in zip(paths, _joint(spec, together, stream), strict=True):
                changes[places[path]] = value
        found.append(changes)
    return found


def prediction_intervals(
    fitted: Mapping[str, Any], summaries: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """Return a row for each figure: with the fitted values, the mean of the draws, its interval.

    The interval holds the middle 95 % of the draws (linear quantiles). Of what is true or false
    these are parts of the draws; a figure that no draw has is NaN. Words are left out.
    """
    import pandas as pd

    ends = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    rows = []
    for name, value in fitted.items():
        if isinstance(value, str):
            continue
        known = [float(run[name]) for run in summaries if run[name] is not None]
        low, high = np.quantile(known, ends) if known else (math.nan, math.nan)
        rows.append(
            {
                "metric": name,
                "fitted": math.nan if value is None else float(value),
                "mean": float(np.mean(known)) if known else math.nan,
                "low": float(low),
                "high": float(high),
            }
        )
    return pd.DataFrame(rows)


def _used(scenario: Scenario, spec: CalibrationSpec) -> dict[str, str]:
    """Map each coefficient whose value the scenario still has to its path in the scenario."""
    data = scenario.to_dict()
    remote = scenario.offload.remote
    store = None if remote is None else f"storage.{remote.profile.name}."
    places = {}
    for path, coefficient in spec.coefficients.items():
        place = path
        if path.startswith("storage."):
            if store is None or not path.startswith(store):
                continue
            place = f"{_STORE}.{path.removeprefix(store)}"
        value: Any = data
        for part in place.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value == coefficient.value:
            places[path] = place
    return places


def _with(partner: float, own: float, correlation: float) -> float:
    """Give a uniform number whose normal score has the correlation with the partner's."""
    score = correlation * norm.ppf(partner) + math.sqrt(1 - correlation**2) * norm.ppf(own)
    return float(norm.cdf(score))


def _value(spec: CalibrationSpec, path: str) -> float:
    return spec.coefficients[path].value


def _joint(
    spec: CalibrationSpec, members: Sequence[int], stream: np.random.Generator
) -> list[float]:
    """Draw the correlated coefficients until all of them are inside their limits."""
    paths = [spec.correlated[n] for n in members]
    middle = np.log([_value(spec, path) for path in paths])
    covariance = np.array(spec.covariance)[np.ix_(members, members)]
    limits = [_LIMITS.get(spec.coefficients[path].unit, _ABOVE_ZERO) for path in paths]
    for _ in range(_MAX_TRIES):
        # The file's six digits can turn an eigenvalue of zero into one just below it.
        drawn = np.exp(stream.multivariate_normal(middle, covariance, check_valid="ignore"))
        if all(low <= value <= high for value, (low, high) in zip(drawn, limits, strict=True)):
            return [float(value) for value in drawn]
    raise ConfigError(
        f"calibration {spec.name}: hardly a draw of {', '.join(paths)} is inside the physical "
        "limits; their errors are too large to say anything"
    )
