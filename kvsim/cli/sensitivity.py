"""`kvsim sensitivity`: which input moves a metric most."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.cli.inputs import (
    HtmlOption,
    JsonOption,
    ProfilesOption,
    SetOption,
    check_html,
    print_json,
    read_scenario,
)
from kvsim.errors import ConfigError
from kvsim.text import value_text

if TYPE_CHECKING:
    import pandas as pd


def sensitivity(
    scenario: Annotated[Path, typer.Argument(help="A scenario file (YAML).")],
    metric: Annotated[
        str, typer.Option("--metric", help="A figure of the run, e.g. finished_per_s.")
    ] = "ttft_s_mean",
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--change",
            metavar="INPUT=LOW,HIGH",
            help="An input and its factors, e.g. load=0.5,1.5 or a key; repeatable (else all).",
        ),
    ] = None,
    changes: SetOption = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes that share the runs.")] = 2,
    html: HtmlOption = None,
    as_json: JsonOption = False,
    profiles: ProfilesOption = None,
) -> int:
    """Move one input at a time down and up, and show how far the metric follows.

    Example: kvsim sensitivity scenario.yaml --metric ttft_s_p99 --html tornado.html
    """
    described = read_scenario(scenario, changes, profiles=profiles)
    steps = _steps(change)
    check_html(html)
    from kvsim.cli.progress import count_bar
    from kvsim.plan.sensitivity import sensitivities
    from kvsim.report.sensitivity_page import sensitivity_page

    with count_bar("runs") as report:
        rows = sensitivities(
            described,
            metric=metric,
            changes=steps,
            jobs=jobs,
            on_progress=report,
        )
    plain = rows.astype(object).where(rows.notna(), None).to_dict("records")
    data = {"scenario": described.name, "metric": metric, "rows": plain}
    if html is not None:
        sensitivity_page(data).write(html)
    if as_json:
        print_json(data)
        return 0
    _print(rows, metric)
    if html is not None:
        typer.echo(f"page: {html}")
    return 0


def _steps(pairs: list[str] | None) -> dict[str, tuple[float, float]] | None:
    if not pairs:
        return None
    steps = {}
    for pair in pairs:
        name, equals, factors = pair.partition("=")
        try:
            low, high = (float(word) for word in factors.split(","))
        except ValueError:
            equals = ""
        if not equals:
            raise ConfigError(f"--change {pair}: write INPUT=LOW,HIGH with factors, load=0.8,1.25")
        steps[name.strip()] = (low, high)
    return steps


def _print(rows: "pd.DataFrame", metric: str) -> None:
    from rich.console import Console

    from kvsim.cli.tables import plain_table
    from kvsim.report.sensitivity_page import remark, sensitivity_words

    console = Console()
    console.print(sensitivity_words(rows, metric))
    table = plain_table(f"{metric}: {value_text(rows['base'].iloc[0])} as described")
    for heading in ("input", "down", "result", "up", "result"):
        table.add_column(heading, justify="left" if heading == "input" else "right")
    table.add_column("remark", overflow="fold")
    for row in rows.to_dict("records"):
        cells = [
            text
            for end in ("low", "high")
            for text in (str(row[f"{end}_value"]), value_text(row[end]))
        ]
        table.add_row(str(row["what"]), *cells, remark(row))
    console.print(table)
