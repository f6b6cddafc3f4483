"""Sweeps as a function of Python values."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kvsim.spec.scenario import Scenario
from kvsim.sweep.design import expand
from kvsim.sweep.execute import execute_or_raise
from kvsim.sweep.table import rows, tabulate

if TYPE_CHECKING:
    import pandas as pd


def sweep(
    base: Scenario,
    grid: Mapping[str, Sequence[Any]],
    *,
    seeds: Iterable[int] = (0,),
    jobs: int = 1,
    setups: Mapping[str, Mapping[str, Any]] | None = None,
) -> "pd.DataFrame":
    """Simulate every combination and hand back one tidy table, a row a run.

    Columns: setup, the paths of the grid, seed, then the keys of `RunResult.summary()`. Rows follow
    the order of the arguments; `jobs` processes share the work and change nothing else. The
    first run that fails ends the others with a SimulationError.
    """
    points = expand(base, setups=setups, grid=grid, seeds=list(seeds))
    return tabulate(rows(points, dict(execute_or_raise(points, jobs=jobs))))
