"""`kvsim compare`: a real run beside its simulation."""

from pathlib import Path
from typing import Annotated

import typer

from kvsim.cli.inputs import (
    JsonOption,
    ScenarioOption,
    SetOption,
    print_json,
    recorded_run,
)


def compare(
    run_dir: Annotated[Path, typer.Argument(help="The folder of a recorded run.")],
    scenario: ScenarioOption = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> int:
    """Simulate a recorded run and print measured and simulated metrics side by side."""
    described = recorded_run(run_dir, scenario, changes)

    from kvsim.calibration.compare import compare_run

    metrics = compare_run(run_dir, described)
    if as_json:
        print_json({"metrics": metrics})
        return 0

    from rich.console import Console

    from kvsim.cli.tables import plain_table

    table = plain_table(f"{run_dir.resolve().name}: measured and simulated")
    table.add_column("metric")
    for column in ("measured", "simulated", "error"):
        table.add_column(column, justify="right")
    for name, row in metrics.items():
        measured, simulated, error = row["measured"], row["simulated"], row["error"]
        table.add_row(
            name, _cell(measured), _cell(simulated), "-" if error is None else f"{error:+.2%}"
        )
    Console().print(table)
    return 0


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
