"""What the errors of a calibration leave open of a run's figures: the run, many times, drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from kvsim.calibration.uncertainty import draw_coefficients, prediction_intervals
from kvsim.spec.scenario import Scenario
from kvsim.sweep.api import run_all
from kvsim.sweep.design import expand

if TYPE_CHECKING:
    import pandas as pd


DRAWS = 20
"""Draws from which the ends of an interval begin to say something."""


@dataclass(frozen=True)
class Prediction:
    """The row of the run with the fitted coefficients, and those with drawn ones."""

    fitted: dict[str, Any]
    drawn: list[dict[str, Any]]
    changes: list[dict[str, float]]
    """The coefficients of each draw, by path."""

    @property
    def intervals(self) -> pd.DataFrame:
        """A row a figure: fitted, mean, low, high (`prediction_intervals`)."""
        figures = {name: value for name, value in self.fitted.items() if name != "seed"}
        return prediction_intervals(figures, self.drawn)

    @property
    def kept(self) -> list[bool]:
        """Whether each draw keeps the promise; empty where nothing is promised."""
        return [bool(run["slo_passed"]) for run in self.drawn if "slo_passed" in run]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; what is unknown is None."""
        rows = self.intervals.to_dict("records")
        return {
            "draws": len(self.drawn),
            "metrics": {row.pop("metric"): _plain(row) for row in rows},
            "confidence": self.fitted["confidence"],
            "out_of_range": self.fitted["out_of_range"],
        }


def predict(
    scenario: Scenario,
    draws: int = DRAWS,
    *,
    jobs: int = 1,
    on_run: Callable[[int, int], None] | None = None,
) -> Prediction:
    """Run a calibrated scenario as it is, and with drawn coefficients.

    All runs have the seed of the scenario, so nothing but the coefficients differs.
    """
    changes = draw_coefficients(scenario, draws)
    setups = {"fitted": {}, **{f"draw {n}": change for n, change in enumerate(changes)}}
    points = expand(scenario, setups=setups, seeds=[scenario.seed])
    fitted, *drawn = run_all(points, jobs=jobs, on_run=on_run)
    return Prediction(fitted, drawn, changes)


def _plain(row: dict[Any, Any]) -> dict[str, float | None]:
    return {str(name): float(value) if isfinite(value) else None for name, value in row.items()}
