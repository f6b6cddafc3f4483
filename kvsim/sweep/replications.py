"""What several seeds of one point say together: means with Student's confidence intervals.

A seed gives every setup the same draws (named streams of random numbers), so two setups are best
compared seed by seed: `differences` has far narrower intervals than two means side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kvsim.metrics.stats import Interval, mean_interval

if TYPE_CHECKING:
    import pandas as pd

SEED = "seed"
_FLAGS: Mapping[str, Callable[[Iterable[Any]], Any]] = {
    "stable": all,
    "died": any,
    "slo_passed": all,
    "confidence": lambda verdicts: max(
        verdicts, key=("calibrated", "partly", "extrapolated").index
    ),
    "out_of_range": lambda lists: "; ".join(
        dict.fromkeys(name for names in lists for name in names.split("; ") if name)
    ),
}
"""What a group of runs is, given what each of them is."""


def intervals(
    records: Sequence[Mapping[str, Any]], labels: Sequence[str], *, confidence: float = 0.95
) -> pd.DataFrame:
    """Return a row a point: its labels but the seed, how many seeds, and of each figure the mean.

    Beside each mean stand the ends of its interval (`_low`, `_high`), NaN of a single seed. A point
    is stable if all its runs are, and died if any did; it keeps a promise if every run does, and is
    as sure as its least sure run.
    """
    import pandas as pd

    rows = []
    for point, runs in _by_point(records, labels):
        row: dict[str, Any] = {**point, "seeds": len(runs)}
        for name in runs[0]:
            if name in labels:
                continue
            if name in _FLAGS:
                row[name] = _FLAGS[name](run[name] for run in runs)
                continue
            row[name], row[f"{name}_low"], row[f"{name}_high"] = _interval(
                [run[name] for run in runs], confidence
            )
        rows.append(row)
    return pd.DataFrame(rows)


def differences(
    records: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    metric: str,
    *,
    against: str,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return how much a metric differs from the setup `against`, seed by seed, with an interval."""
    import pandas as pd

    others = [name for name in labels if name != "setup"]
    base = {
        tuple(run[name] for name in others): run[metric]
        for run in records
        if run["setup"] == against
    }
    rows = []
    for point, runs in _by_point(records, labels):
        if point["setup"] == against:
            continue
        pairs = [(run[metric], base.get(tuple(run[name] for name in others))) for run in runs]
        gaps = [mine - its for mine, its in pairs if mine is not None and its is not None]
        mean, low, high = _interval(gaps, confidence)
        rows.append({**point, "mean": mean, "low": low, "high": high})
    return pd.DataFrame(rows)


def _by_point(
    records: Sequence[Mapping[str, Any]], labels: Sequence[str]
) -> Iterator[tuple[dict[str, Any], list[Mapping[str, Any]]]]:
    """Group runs that differ by seed only, in the order of their first."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    named = [name for name in labels if name != SEED]
    for run in records:
        groups.setdefault(tuple(run[name] for name in named), []).append(run)
    for values, runs in groups.items():
        yield dict(zip(named, values, strict=True)), runs


def _interval(values: Sequence[Any], confidence: float) -> Interval:
    """Return the interval over the runs that have a value; NaN where there is none to give."""
    known = [float(value) for value in values if value is not None]
    if not known:
        return Interval(math.nan, math.nan, math.nan)
    if len(known) == 1:
        return Interval(known[0], math.nan, math.nan)
    return mean_interval(known, confidence)
