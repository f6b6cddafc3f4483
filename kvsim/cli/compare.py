"""`kvsim compare`: a real run beside its simulation."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.cli.inputs import (
    HtmlOption,
    JsonOption,
    ScenarioOption,
    SetOption,
    check_html,
    print_json,
    recorded_run,
)
from kvsim.text import value_text

if TYPE_CHECKING:
    from kvsim.calibration.comparison import Comparison


def compare(
    run_dir: Annotated[Path, typer.Argument(help="The folder of a recorded run.")],
    scenario: ScenarioOption = None,
    changes: SetOption = None,
    html: HtmlOption = None,
    as_json: JsonOption = False,
) -> int:
    """Simulate a recorded run and print measured and simulated metrics side by side.

    Example: kvsim compare experiments/validation/runs/cpu60GB_s3_cold__qa10k --html compare.html
    """
    described = recorded_run(run_dir, scenario, changes)
    check_html(html)

    from kvsim.calibration.comparison import compare_in_full

    comparison = compare_in_full(run_dir, described)
    if html is not None:
        from kvsim.report.comparison import write_comparison

        write_comparison(comparison, html)
    if as_json:
        print_json(comparison.to_dict())
    else:
        _print_tables(comparison)
        if html is not None:
            typer.echo(f"page: {html}")
    return 0


def _print_tables(comparison: "Comparison") -> None:
    from rich.console import Console

    from kvsim.cli.tables import plain_table
    from kvsim.report.comparison import error_text

    console = Console()
    table = plain_table(f"{comparison.name}: measured and simulated")
    table.add_column("metric")
    for column in ("measured", "simulated", "error"):
        table.add_column(column, justify="right")
    for name, row in comparison.metrics.items():
        table.add_row(
            name, value_text(row["measured"]), value_text(row["simulated"]), error_text(name, row)
        )
    console.print(table)
    for name, found in comparison.distributions.items():
        table = plain_table(f"{name}: Kolmogorov-Smirnov distance {value_text(found.distance)}")
        table.add_column("quantile")
        for column in ("measured", "simulated", "error"):
            table.add_column(column, justify="right")
        for line in found.quantiles.to_dict("records"):
            real, model = value_text(float(line["measured"])), value_text(float(line["simulated"]))
            table.add_row(f"p{100 * line['level']:g}", real, model, f"{line['error']:+.2%}")
        console.print(table)
    if not comparison.step_errors.empty:
        table = plain_table("step time of GPU-bound steps: simulated against measured")
        for column in ("steps", "batch from", "context from", "stretches", "median", "absolute"):
            table.add_column(column, justify="left" if column == "steps" else "right")
        for line in comparison.step_errors.to_dict("records"):
            table.add_row(
                "with prefill" if line["has_prefill"] else "decode only",
                f"{line['batch']:,}",
                f"{line['context']:,}",
                f"{line['stretches']:,}",
                f"{line['median_error']:+.2%}",
                f"{line['median_absolute_error']:.2%}",
            )
        console.print(table)
