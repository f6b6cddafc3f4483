"""Sweeps as a function of Python values."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kvsim.errors import SimulationError
from kvsim.spec.scenario import Scenario
from kvsim.sweep.design import expand
from kvsim.sweep.execute import execute
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
    the order of the arguments; `jobs` processes share the work and change nothing else. A run that
    fails raises SimulationError once the others have ended.
    """
    points = expand(base, setups=setups, grid=grid, seeds=list(seeds))
    summaries = {}
    failed = []
    for outcome in execute(points, jobs=jobs):
        if outcome.summary is None:
            failed.append(outcome)
        else:
            summaries[outcome.key] = outcome.summary
    if failed:
        named = {point.key: point.title for point in points}
        first = failed[0]
        raise SimulationError(
            f"{len(failed)} of {len(points)} runs failed, first {named[first.key]}: {first.error}"
        )
    return tabulate(rows(points, summaries))
