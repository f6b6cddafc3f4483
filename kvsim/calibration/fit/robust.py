"""Robust least squares with non-negative coefficients, and their scatter by block bootstrap.

Neighbouring measurements of a run err together (one noisy second is many steps), so the bootstrap
draws whole blocks of rows that follow each other. A pair of coefficients that every resample moves
against each other is collinear: only a sum of them is measured.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares, nnls

Array: TypeAlias = npt.NDArray[np.float64]

RESAMPLES = 200
COLLINEAR = 0.97
"""Correlation in the bootstrap from which two coefficients count as one."""
LOOSE = 0.25
"""Relative standard error above which a coefficient counts as not identified."""
_BLOCKS = 60
_PIVOT = 6.0
"""Residuals beyond so many robust deviations weigh less and less (soft l1): a stall now and then is
part of what steps take, only what is no step time at all should not count."""


@dataclass(frozen=True, eq=False)
class LinearFit:
    """Coefficients of y = sum of x * coefficient."""

    values: Array
    covariance: Array
    residuals: Array
    """(measured - fitted) / measured."""
    condition: float
    """Condition number of the scaled columns; above 30 they are hard to tell apart."""

    @property
    def errors(self) -> Array:
        """Give the standard errors."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def correlation(self) -> Array:
        """Give the bootstrap correlation of the coefficients."""
        scale = np.where(self.errors > 0, self.errors, 1.0)
        return np.asarray(self.covariance / np.outer(scale, scale), dtype=np.float64)


def fit_linear(x: Array, y: Array, weights: Array, *, name: str) -> LinearFit:
    """Fit by relative residuals; rows must be in order of time (the bootstrap cuts blocks)."""
    scaled = x / y[:, None]
    root = np.sqrt(weights)
    size = np.linalg.norm(scaled * root[:, None], axis=0)
    size = np.where(size > 0, size, 1.0)
    columns = scaled / size
    rooted = columns * root[:, None]
    start = nnls(rooted, root)[0]
    scale = _PIVOT * _deviation(1.0 - columns @ start)

    def misfit(values: Array) -> Array:
        return np.asarray(rooted @ values - root, dtype=np.float64)

    def slopes(values: Array) -> Array:
        del values  # the model is linear
        return rooted

    found = least_squares(
        misfit,
        np.maximum(start, 1e-9 * start.max()),
        jac=slopes,
        bounds=(0.0, np.inf),
        loss="soft_l1",
        f_scale=scale * float(np.median(root)),
    )
    best: Array = np.asarray(found.x, dtype=np.float64)
    residuals: Array = 1.0 - columns @ best
    singular = np.linalg.svd(rooted, compute_uv=False)
    condition = float(singular[0] / singular[-1]) if singular[-1] > 0 else float("inf")
    trust = 1.0 / np.sqrt(1.0 + (residuals * root / (scale * float(np.median(root)))) ** 2)
    samples = _linear_resamples(rooted * np.sqrt(trust)[:, None], root * np.sqrt(trust), name)
    covariance = np.atleast_2d(np.cov(samples / size, rowvar=False))
    return LinearFit(best / size, covariance, residuals, condition)


def typical(values: Array, *, name: str) -> tuple[float, float]:
    """Give the median and its standard error."""
    found = _resamples(len(values), lambda rows: np.array([np.median(values[rows])]), name)
    return float(np.median(values)), float(np.std(found, ddof=1))


def _linear_resamples(rows: Array, wanted: Array, name: str) -> Array:
    """Solve again for blocks drawn with repetition; robust weights stay those of the best fit."""
    starts = _block_starts(len(wanted))
    squares = np.array([part.T @ part for part in np.split(rows, starts[1:])])
    products = np.array(
        [
            part.T @ aim
            for part, aim in zip(
                np.split(rows, starts[1:]), np.split(wanted, starts[1:]), strict=True
            )
        ]
    )
    draw = _draws(name, len(wanted))
    found = []
    for _ in range(RESAMPLES):
        chosen = draw.choice(len(starts), len(starts))
        matrix = squares[chosen].sum(axis=0)
        ridge = 1e-12 * np.trace(matrix) * np.eye(len(matrix))  # a resample may lack a column
        lower = np.linalg.cholesky(matrix + ridge)
        aim = np.linalg.solve(lower, products[chosen].sum(axis=0))
        found.append(nnls(lower.T, aim)[0])
    return np.array(found)


def _deviation(residuals: Array) -> float:
    """Give a robust standard deviation (from the median absolute deviation)."""
    centre = np.median(residuals)
    return max(1.4826 * float(np.median(np.abs(residuals - centre))), 1e-9)


def _resamples(
    n: int, estimate: Callable[[npt.NDArray[np.intp]], Array], name: str
) -> npt.NDArray[np.float64]:
    """Estimate again from rows drawn in blocks, `RESAMPLES` times."""
    draw = _draws(name, n)
    starts = _block_starts(n)
    length = max(1, n // _BLOCKS)
    found = []
    for _ in range(RESAMPLES):
        rows = (draw.choice(starts, len(starts))[:, None] + np.arange(length)).ravel()
        found.append(estimate(rows[rows < n]))
    return np.array(found)


def _block_starts(n: int) -> npt.NDArray[np.intp]:
    return np.arange(0, n, max(1, n // _BLOCKS))


def _draws(name: str, n: int) -> np.random.Generator:
    """Give a stream that the name fixes, so that a fit is reproducible."""
    return np.random.default_rng([zlib.crc32(name.encode()), n])
