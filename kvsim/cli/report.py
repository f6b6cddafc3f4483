"""`kvsim report`: any result as one HTML page that works offline."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.cli.size import check_html

if TYPE_CHECKING:
    import pandas as pd

    from kvsim.report.html import Page

CANDIDATES = "candidates"
WHAT_IF = "what-if"


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR_OR_FILE...",
            help="A saved run, sweep or search, a --json file of size, breakeven or sensitivity; "
            "or several runs to lay side by side.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The page (else report.html there)."),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option("--png", metavar="FOLDER", help="Write each chart as a PNG file, too."),
    ] = None,
) -> int:
    """Write any result as one HTML page that works offline: verdict, charts, tables, sources.

    Examples: kvsim report results/storagegrid --png charts

    kvsim report runs/cpu runs/s3 --out compared.html
    """
    check_html(out, option="--out")
    if png is not None:
        from kvsim.report.png import check_png

        check_png()
    from kvsim.report.results import results_page

    sweep = _storagegrid_table(results)
    page = results_page(results) if sweep is None else _storagegrid(results[0], sweep)
    place = results[0] if results[0].is_dir() else results[0].parent
    target = out or place / "report.html"
    page.write(target)
    typer.echo(f"report: {target}")
    if png is not None:
        from kvsim.report.png import write_pngs

        paths = write_pngs(page.figures, png)
        typer.echo(f"charts: {len(paths)} PNG files in {png}")
    return 0


def _storagegrid_table(results: Sequence[Path]) -> "pd.DataFrame | None":
    """Return the table of a sweep that is the StorageGRID experiment."""
    from kvsim.report.storagegrid import is_storagegrid
    from kvsim.sweep.table import TABLE, read_table

    if len(results) > 1 or not (results[0] / TABLE).is_file():
        return None
    frame = read_table(results[0])
    return frame if is_storagegrid(frame) else None


def _storagegrid(results_dir: Path, frame: "pd.DataFrame") -> "Page":
    from kvsim.report.storagegrid_page import storagegrid_page
    from kvsim.spec.scenario import Scenario
    from kvsim.sweep.table import read_description, read_table

    described = read_description(results_dir)
    more = {
        name: read_table(results_dir / name)
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
