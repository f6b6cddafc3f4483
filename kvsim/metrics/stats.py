"""Small statistics that say what they do when there is nothing to count."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


def mean_or_none(values: ArrayLike) -> float | None:
    """Return the mean, None of no values."""
    array = np.asarray(values, dtype=float)
    return float(array.mean()) if array.size else None


def quantiles_or_none(values: ArrayLike, levels: Sequence[float]) -> list[float | None]:
    """Return linearly interpolated quantiles, None for each if there are no values."""
    array = np.asarray(values, dtype=float)
    if not array.size:
        return [None for _ in levels]
    return [float(value) for value in np.quantile(array, levels)]


def level_mean(changes: Sequence[tuple[float, float]], start_s: float, end_s: float) -> float:
    """Return the time mean of a level that holds from each (instant, level) to the next.

    Before the first change the level is 0. A span of no length has the level at its instant.
    """
    instants = np.array([instant for instant, _ in changes], dtype=float)
    levels = np.array([0.0, *(level for _, level in changes)], dtype=float)
    if end_s <= start_s:
        return float(levels[np.searchsorted(instants, start_s, side="right")])
    edges = np.concatenate(([-math.inf], instants, [math.inf])).clip(start_s, end_s)
    return float(np.diff(edges) @ levels / (end_s - start_s))


def level_max(changes: Sequence[tuple[float, float]], start_s: float, end_s: float) -> float:
    """Return the highest level that such changes reach within a span."""
    before = [level for instant, level in changes if instant <= start_s]
    within = [level for instant, level in changes if start_s < instant <= end_s]
    return float(max([before[-1] if before else 0.0, *within]))


def overlap_mean(starts_s: ArrayLike, ends_s: ArrayLike, start_s: float, end_s: float) -> float:
    """Return the time mean, over a span, of how many of some intervals are open."""
    lengths = np.clip(np.asarray(ends_s, dtype=float), start_s, end_s) - np.clip(
        np.asarray(starts_s, dtype=float), start_s, end_s
    )
    return float(lengths.sum() / (end_s - start_s))


class Interval(NamedTuple):
    """A mean and the bounds of its confidence interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return Student's interval for the mean of independent replications.

    Replications are whole runs with different seeds: values within one run hang together.
    One value bounds nothing: its interval is infinite.
    """
    from scipy.stats import t

    array = np.asarray(values, dtype=float)
    assert array.size, "an interval needs at least one value"
    mean = float(array.mean())
    if array.size == 1:
        return Interval(mean, -math.inf, math.inf)
    half = float(t.ppf((1 + confidence) / 2, array.size - 1) * array.std(ddof=1))
    half /= math.sqrt(array.size)
    return Interval(mean, mean - half, mean + half)
