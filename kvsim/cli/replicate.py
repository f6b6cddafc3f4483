"""One scenario run many times: with several seeds, or with coefficients drawn from their errors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kvsim.cli.inputs import print_json
from kvsim.cli.slo import SLO_FAILED
from kvsim.text import value_text

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from kvsim.spec.scenario import Scenario

_KEPT_SHARE = 0.95
"""Part of the draws that must keep a promise, as the interval holds that part of them."""


def replicate(
    scenario: Scenario, seeds: int, *, as_json: bool, out: Path | None, gated: bool
) -> int:
    """Run seeds 0 to `seeds` - 1 on all cores and print means with 95 % confidence intervals.

    A promise (`scenario.slo`) is kept when every seed keeps it; `gated` makes the exit code say so.
    """
    from kvsim.cli.progress import count_bar
    from kvsim.cli.sweep import print_figures
    from kvsim.cli.tables import verdict
    from kvsim.sweep.api import run_all
    from kvsim.sweep.design import expand
    from kvsim.sweep.replications import intervals

    points = expand(scenario, seeds=range(seeds))
    with count_bar("runs", transient=False) as on_run:
        records = run_all(points, jobs=os.cpu_count() or 1, on_run=on_run)
    labels = [*points[0].label]
    frame = intervals(records, labels)
    told = _plain(frame.iloc[0].drop("setup").to_dict())
    _save(out, records, told)
    if as_json:
        print_json(told)
    else:
        from rich.console import Console

        print_figures(frame, labels)
        Console().print(verdict(told))
        _say_kept(records, "seeds")
        _say_sure(told)
        _say_saved(out)
    return 0 if not gated or all(run["slo_passed"] for run in records) else SLO_FAILED


def predict(scenario: Scenario, draws: int, *, as_json: bool, out: Path | None, gated: bool) -> int:
    """Run a calibrated scenario with drawn coefficients and print what they leave open.

    All runs have the seed of the scenario, so nothing but the coefficients differs. A promise is
    kept when 95 % of the draws keep it.
    """
    from kvsim.cli.progress import count_bar
    from kvsim.cli.tables import verdict
    from kvsim.sweep import prediction

    with count_bar("runs", transient=False) as on_run:
        found = prediction.predict(scenario, draws, jobs=os.cpu_count() or 1, on_run=on_run)
    told = found.to_dict()
    table = [
        {**dict.fromkeys(found.changes[0]), **change, **run}
        for change, run in zip([{}, *found.changes], [found.fitted, *found.drawn], strict=True)
    ]
    _save(out, table, told)
    if as_json:
        print_json(told)
    else:
        from rich.console import Console

        console = Console()
        console.print(_interval_table(found.intervals, scenario.name, draws))
        console.print(verdict(found.fitted))
        _say_kept(found.drawn, "draws")
        _say_sure(told)
        _say_saved(out)
    return 0 if not gated or sum(found.kept) >= _KEPT_SHARE * draws else SLO_FAILED


def _interval_table(frame: pd.DataFrame, name: str, draws: int) -> Table:
    """Tabulate the figures that move with the coefficients."""
    from kvsim.cli.tables import plain_table

    moving = frame[(frame["low"] < frame["high"]) | (frame["fitted"] != frame["mean"])]
    moving = moving[moving["mean"].notna()]
    table = plain_table(f"{name}: {draws} draws of the coefficients, 95 % of them inside")
    table.add_column("metric", overflow="fold")
    for heading in ("fitted", "mean", "from", "to"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in moving.to_dict("records"):
        numbers = (row[key] for key in ("fitted", "mean", "low", "high"))
        table.add_row(row["metric"], *(value_text(number) for number in numbers))
    still = len(frame) - len(moving)
    if still:
        table.caption = f"{still} further figures are the same in all draws (--json has them)"
    return table


def _say_kept(records: Sequence[Mapping[str, Any]], what: str) -> None:
    judged = [bool(run["slo_passed"]) for run in records if "slo_passed" in run]
    if judged:
        typer.echo(f"SLO: kept in {sum(judged)} of {len(judged)} {what}")


def _say_sure(told: Mapping[str, Any]) -> None:
    beyond = f" (outside what was measured: {told['out_of_range']})"
    typer.echo(f"{told['confidence']}{beyond if told['out_of_range'] else ''}")


def _say_saved(out: Path | None) -> None:
    if out is not None:
        typer.echo(f"tables saved in {out}")


def _save(out: Path | None, records: Sequence[Mapping[str, Any]], told: Mapping[str, Any]) -> None:
    """Write the runs as runs.parquet and runs.csv, and what they say together as summary.json."""
    if out is None:
        return
    import json

    from kvsim.sweep.table import tabulate, write_table

    write_table(tabulate(records), out, "runs")
    text = json.dumps(told, indent=2, allow_nan=False)
    (out / "summary.json").write_text(f"{text}\n", encoding="utf-8")


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return values as JSON holds them: what is unknown is null."""
    values = {str(name): getattr(value, "item", lambda v=value: v)() for name, value in row.items()}
    return {
        name: None if isinstance(value, float) and not isfinite(value) else value
        for name, value in values.items()
    }
