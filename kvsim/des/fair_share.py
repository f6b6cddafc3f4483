"""Max-min fairness as a number: the level up to which everybody is served."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def fair_level(demands: Sequence[tuple[float, float]], capacity: float) -> float:
    """Return the level x at which the sum of weight * min(limit, x) is the capacity.

    `demands` are (weight, limit) pairs; infinity if all the limits fit.
    """
    if len(demands) == 1:
        weight, limit = demands[0]
        return inf if weight * limit <= capacity else capacity / weight
    if sum([weight * limit for weight, limit in demands]) <= capacity:
        return inf
    waiting = demands
    left = capacity
    while True:
        level = left / sum([weight for weight, _ in waiting])
        still = []
        for demand in waiting:
            if demand[1] <= level:
                left -= demand[0] * demand[1]
            else:
                still.append(demand)
        if len(still) == len(waiting):
            return level
        if not still:  # by rounding only: all limits fit after all
            return inf
        waiting = still
