"""Which rows of a table no other row beats: the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from kvsim.errors import ConfigError
from kvsim.spec.problems import suggest

Direction = Literal["min", "max"]


def pareto_front(table: pd.DataFrame, objectives: Mapping[str, Direction]) -> pd.Series[bool]:
    """Mark the rows that are on the front.

    A row is off the front if another is at least as good in every objective and better in one;
    equal rows are on it together. A row without a value (NaN) in some objective is never on it.
    """
    if not objectives:
        raise ConfigError("pareto: no objectives; name at least one column")
    signs = []
    for name, direction in objectives.items():
        if name not in table.columns:
            raise ConfigError(f"pareto: no column {name!r}; {suggest(name, map(str, table))}")
        if direction not in ("min", "max"):
            raise ConfigError(f"pareto: {name}: {direction!r} is neither 'min' nor 'max'")
        signs.append(1.0 if direction == "min" else -1.0)
    values = table[list(objectives)].to_numpy(dtype=np.float64, na_value=np.nan) * signs
    front = np.ones(len(values), dtype=bool)
    front[np.isnan(values).any(axis=1)] = False
    # In lexicographic order a row is beaten only by rows before it, and by some that is on the
    # front itself.
    kept = np.empty((0, len(signs)))
    for index in np.lexsort(values.T[::-1]):
        if not front[index]:
            continue
        row = values[index]
        if ((kept <= row).all(axis=1) & (kept < row).any(axis=1)).any():
            front[index] = False
        else:
            kept = np.vstack([kept, row])
    return pd.Series(front, index=table.index, name="pareto", dtype=bool)
