"""`kvsim report`: the table of a sweep as one HTML page that works offline."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.cli.inputs import existing_folder

if TYPE_CHECKING:
    import pandas as pd

    from kvsim.report.html import Page

CANDIDATES = "candidates"
WHAT_IF = "what-if"
PAGE = "report.html"


def report(
    results: Annotated[
        str, typer.Argument(metavar="DIR|URL", help="Where a sweep has written: a folder, s3://...")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The page (else report.html there)."),
    ] = None,
) -> int:
    """Write a sweep's charts and tables as one HTML page.

    Examples: kvsim report results/storagegrid

    kvsim report s3://bucket/storagegrid --out report.html
    """
    from kvsim.report.storagegrid import is_storagegrid
    from kvsim.sweep.place import place_of, writable_place
    from kvsim.sweep.table import read_description, read_table

    if "://" not in results:
        existing_folder(Path(results), "the sweep's results")
    place = place_of(results)
    frame = read_table(place)
    if is_storagegrid(frame):
        page = _storagegrid(results, frame)
    else:
        from kvsim.report.sweep_page import sweep_page

        page = sweep_page(frame, str(read_description(place)["name"]))
    if out is not None:
        page.write(out)
    elif "://" in results:
        writable_place(results, option="report").write(PAGE, page.text().encode())
    else:
        page.write(Path(results) / PAGE)
    typer.echo(f"report: {out or f'{results}/{PAGE}'}")
    return 0


def _storagegrid(results: str, frame: "pd.DataFrame") -> "Page":
    from kvsim.report.storagegrid_page import storagegrid_page
    from kvsim.spec.scenario import Scenario
    from kvsim.sweep.place import place_of
    from kvsim.sweep.table import read_description, read_table

    described = read_description(place_of(results))
    more = {
        name: read_table(place_of(f"{results}/{name}"))
        for name in (CANDIDATES, WHAT_IF)
        if _same_code(f"{results}/{name}", described)
    }
    _print_figures(frame)
    return storagegrid_page(
        frame,
        Scenario.from_dict(described["scenario"]),
        candidates=more.get(CANDIDATES),
        what_if=more.get(WHAT_IF),
    )


def _same_code(results: str, described: dict[str, object]) -> bool:
    """Tell whether a further sweep is there and comes from the code that made the main one."""
    from kvsim.sweep.place import place_of
    from kvsim.sweep.table import has_table, read_description

    place = place_of(results)
    if not has_table(place):
        return False
    if read_description(place)["code"] == described["code"]:
        return True
    typer.echo(f"kvsim: {results} is left out, for other code made it; run it again", err=True)
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
