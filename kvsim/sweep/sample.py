"""Sampled designs: points that fill many dimensions evenly, where a grid would need too many.

Latin hypercube: each axis is cut into as many equal parts as there are points, and each part has
one (McKay, Beckman & Conover 1979). Sobol: a low-discrepancy sequence, scrambled (Owen 1998), even
in powers of two only. Both from scipy.stats.qmc.
"""

from typing import Any, Literal, Self

from pydantic import model_validator

from kvsim.errors import ConfigError
from kvsim.spec.base import Count, PositiveCount, Spec
from kvsim.spec.space import Space

MOST_SOBOL_POINTS = 2**30


class SampleSpec(Spec):
    """Points drawn from ranges."""

    method: Literal["latin_hypercube", "sobol", "random"] = "latin_hypercube"
    """How points are drawn."""
    points: PositiveCount = 64
    """How many."""
    seed: Count = 0
    """Seed of the draw; the runs' own seeds are `seeds`."""
    ranges: Space
    """What to choose from, by dotted path: {low: 1, high: 4}, {choices: [...]} or a list."""

    @model_validator(mode="after")
    def _sobol_is_even_in_powers_of_two(self) -> Self:
        points = self.points
        if self.method == "sobol" and (points & (points - 1) or points > MOST_SOBOL_POINTS):
            below = 2 ** min(points.bit_length() - 1, 29)
            raise ConfigError(
                f"points: {points} is no power of 2, without which sobol is not even; "
                f"take {below} or {2 * below}"
            )
        return self


def draw(sample: SampleSpec) -> list[dict[str, Any]]:
    """Draw the points; equal specs give equal points."""
    import numpy as np
    from scipy.stats import qmc

    dimensions = len(sample.ranges)
    rng = np.random.default_rng(sample.seed)
    match sample.method:
        case "latin_hypercube":
            unit = qmc.LatinHypercube(dimensions, rng=rng).random(sample.points)
        case "sobol":
            unit = qmc.Sobol(dimensions, rng=rng).random(sample.points)
        case "random":
            unit = rng.random((sample.points, dimensions))
    return [
        {path: axis.at(float(part)) for (path, axis), part in zip(axes, row, strict=True)}
        for axes in [list(sample.ranges.items())]
        for row in unit
    ]
