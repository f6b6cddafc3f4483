"""Sweeps as a function of Python values."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kvsim.spec.scenario import Scenario
from kvsim.sweep.design import Point, expand
from kvsim.sweep.execute import execute_or_raise
from kvsim.sweep.table import rows, tabulate

if TYPE_CHECKING:
    import pandas as pd


def run_all(
    points: Sequence[Point], *, jobs: int = 1, on_run: Callable[[int, int], None] | None = None
) -> list[dict[str, Any]]:
    """Run every point and return a row each, in their order; a run that fails ends it all.

    `on_run` gets runs done and runs in all; points of equal scenarios are one run.
    """
    summaries = {}
    different = len({point.key for point in points})
    for key, summary in execute_or_raise(points, jobs=jobs):
        summaries[key] = summary
        if on_run is not None:
            on_run(len(summaries), different)
    return rows(points, summaries)


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
    return tabulate(run_all(points, jobs=jobs))
