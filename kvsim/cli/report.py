"""`kvsim report`: the table of a sweep as one HTML page that works offline."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.cli.inputs import existing_folder
from kvsim.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from kvsim.report.html import Page

CANDIDATES = "candidates"
WHAT_IF = "what-if"


def report(
    results_dir: Annotated[Path, typer.Argument(help="The folder that a sweep has written.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The page (else report.html there)."),
    ] = None,
) -> int:
    """Write a sweep's charts and tables as one HTML page."""
    from kvsim.report.storagegrid import is_storagegrid
    from kvsim.sweep.table import read_description

    frame = _table(results_dir)
    target = out or results_dir / "report.html"
    if is_storagegrid(frame):
        page = _storagegrid(results_dir, frame)
    else:
        from kvsim.report.sweep_page import sweep_page

        page = sweep_page(frame, str(read_description(results_dir)["name"]))
    page.write(target)
    typer.echo(f"report: {target}")
    return 0


def _storagegrid(results_dir: Path, frame: "pd.DataFrame") -> "Page":
    from kvsim.report.storagegrid_page import storagegrid_page
    from kvsim.spec.scenario import Scenario
    from kvsim.sweep.table import read_description

    described = read_description(results_dir)
    more = {
        name: _table(results_dir / name)
        for name in (CANDIDATES, WHAT_IF)
        if _same_code(results_dir / name, described)
    }
    _print_figures(frame)
    return storagegrid_page(
        frame,
        Scenario.from_dict(described["scenario"]),
        candidates=more.get(CANDIDATES),
        what_if=more.get(WHAT_IF),
    )


def _same_code(folder: Path, described: dict[str, object]) -> bool:
    """Tell whether a further sweep is there and comes from the code that made the main one."""
    from kvsim.sweep.table import TABLE, read_description

    if not (folder / TABLE).is_file():
        return False
    if read_description(folder)["code"] == described["code"]:
        return True
    typer.echo(f"kvsim: {folder} is left out, for other code made it; run it again", err=True)
    return False


def _table(folder: Path) -> "pd.DataFrame":
    from kvsim.sweep.table import TABLE, read_table

    existing_folder(folder, "the sweep's results")
    if not (folder / TABLE).is_file():
        raise ConfigError(f"{folder}: no {TABLE}; run kvsim sweep FILE --out {folder} first")
    return read_table(folder)


def _print_figures(frame: "pd.DataFrame") -> None:
    from rich.console import Console

    from kvsim.cli.tables import plain_table
    from kvsim.report.storagegrid import compare_figures
    from kvsim.report.text import signed

    several = frame["seed"].nunique() > 1
    table = plain_table("largest gains over the sweep, %")
    table.add_column("figure", no_wrap=True)
    simulated = "simulated (range)" if several else "simulated"
    for heading in ("published", simulated, "at", "band"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("fits")
    for each in compare_figures(frame):
        ends = f" ({signed(each.lowest)} \u2026 {signed(each.highest)})" if several else ""
        table.add_row(
            each.figure.short_name,
            signed(each.figure.published),
            signed(each.median) + ends,
            each.context_words.split()[0],
            each.figure.band_words.replace(" %", ""),
            "[green]yes[/]" if each.consistent else "[red]no[/]",
        )
    Console().print(table)
