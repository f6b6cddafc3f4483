"""`kvsim report`: any result as one HTML page that works offline."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.cli.inputs import check_html

if TYPE_CHECKING:
    import pandas as pd

    from kvsim.report.html import Page

CANDIDATES = "candidates"
WHAT_IF = "what-if"
PAGE = "report.html"


def report(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR|FILE|URL...",
            help="A saved run, sweep (also s3://...) or search, a --json file of size, breakeven "
            "or sensitivity; or several runs to lay side by side.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The page (else report.html there)."),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option("--png", metavar="DIR", help="Write each chart as a PNG file, too."),
    ] = None,
) -> int:
    """Write any result as one HTML page that works offline: verdict, charts, tables, sources.

    Examples: kvsim report results/storagegrid --png charts

    kvsim report runs/cpu runs/s3 --out compared.html

    kvsim report s3://bucket/storagegrid --out report.html
    """
    check_html(out, option="--out")
    if png is not None:
        from kvsim.report.png import check_png

        check_png()
    page = _page(results)
    if out is not None:
        page.write(out)
    elif "://" in results[0]:
        from kvsim.sweep.place import writable_place

        writable_place(results[0], option="report").write(PAGE, page.text().encode())
    else:
        place = Path(results[0])
        page.write((place if place.is_dir() else place.parent) / PAGE)
    typer.echo(f"report: {out or f'{results[0]}/{PAGE}'}")
    if png is not None:
        from kvsim.report.png import write_pngs

        paths = write_pngs(page.figures, png)
        typer.echo(f"charts: {len(paths)} PNG files in {png}")
    return 0


def _page(results: Sequence[str]) -> "Page":
    """Lay out the page: the experiment's own for its sweep, else that of whatever it is."""
    from kvsim.report.results import results_page, sweep_result
    from kvsim.report.storagegrid import is_storagegrid
    from kvsim.sweep.place import place_of
    from kvsim.sweep.table import has_table, read_table

    first = place_of(results[0])
    if len(results) > 1 or not ("://" in results[0] or has_table(first)):
        return results_page([Path(each) for each in results])
    frame = read_table(first)
    return _storagegrid(results[0], frame) if is_storagegrid(frame) else sweep_result(first)


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
    from kvsim.text import signed

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
