"""One scenario with several seeds: means and how sure they are."""

from __future__ import annotations

import os
from math import isfinite
from typing import TYPE_CHECKING, Any

from kvsim.errors import SimulationError

if TYPE_CHECKING:
    import pandas as pd

    from kvsim.spec.scenario import Scenario


def replicate(scenario: Scenario, seeds: int, *, as_json: bool) -> int:
    """Run seeds 0 to `seeds` - 1 on all cores and print means with 95 % confidence intervals."""
    from kvsim.cli.inputs import print_json
    from kvsim.cli.sweep import print_figures
    from kvsim.cli.tables import verdict
    from kvsim.sweep.design import expand
    from kvsim.sweep.execute import execute
    from kvsim.sweep.replications import intervals
    from kvsim.sweep.table import rows

    points = expand(scenario, seeds=range(seeds))
    outcomes = list(execute(points, jobs=os.cpu_count() or 1))
    for outcome in outcomes:
        if outcome.summary is None:
            raise SimulationError(f"a run failed: {outcome.error}")
    summaries = {outcome.key: outcome.summary or {} for outcome in outcomes}
    labels = [*points[0].label]
    frame = intervals(rows(points, summaries), labels)
    if as_json:
        print_json(_plain(frame))
    else:
        from rich.console import Console

        print_figures(frame, labels)
        (record,) = frame.to_dict("records")
        Console().print(verdict({str(name): value for name, value in record.items()}))
    return 0


def _plain(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the one row as JSON holds it: what is unknown is null."""
    row = {
        name: getattr(value, "item", lambda v=value: v)() for name, value in frame.iloc[0].items()
    }
    del row["setup"]
    return {
        str(name): None if isinstance(value, float) and not isfinite(value) else value
        for name, value in row.items()
    }
