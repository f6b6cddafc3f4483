"""`kvsim sweep`: run a design on all cores, keep every finished run, write one table."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvsim.cli.inputs import JsonOption, ProfilesOption, SetOption, parse_changes, print_json
from kvsim.cli.slo import SLO_FAILED, read_slo
from kvsim.errors import ConfigError
from kvsim.text import counted
from kvsim.units import format_seconds

if TYPE_CHECKING:
    import pandas as pd

    from kvsim.sweep.design import Point, SweepSpec
    from kvsim.sweep.execute import Executor
    from kvsim.sweep.store import RunStore

MAX_ROWS_SHOWN = 24
MAX_COLUMNS = 9
SHOWN = {
    "finished_per_s": "requests/s",
    "ttft_s_mean": "TTFT s",
    "decode_tokens_per_s_mean": "decode tokens/s",
    "token_hit_rate": "hits",
    "stable": "stable",
}
PROMISED = {"slo_passed": "SLO", "goodput_per_s": "good/s"}
"""Shown first where there is a promise."""

SweepSloOption = Annotated[
    str | None,
    typer.Option(
        "--slo",
        "--goodput",
        metavar="SLO",
        help="Judge every row by a promise, e.g. 'ttft:p95<2s' or 'ttft:500 tpot:50'. "
        "Exit code 3 when no point keeps it in all its seeds.",
    ),
]


def sweep(
    file: Annotated[Path, typer.Argument(help="A sweep file (YAML).")],
    changes: SetOption = None,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="Processes that share the work.")
    ] = os.cpu_count() or 1,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="DIR|URL", help="Results: a folder (else results/NAME) or s3://..."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Skip the runs found in DIR.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count the runs and estimate the time.")
    ] = False,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Run seeds 0 to N-1 instead.")
    ] = None,
    executor: Annotated[
        str, typer.Option("--executor", metavar="local|dask", help="What runs the runs.")
    ] = "local",
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="Dask's, e.g. tcp://host:8786."),
    ] = None,
    slo: SweepSloOption = None,
    as_json: JsonOption = False,
    profiles: ProfilesOption = None,
) -> int:
    """Run every point of a sweep and write one table.

    Examples: kvsim sweep experiments/storagegrid.yaml --dry-run

    kvsim sweep experiments/storagegrid.yaml --set workload.qps=3 --seeds 5 --slo 'ttft:p95<2s'
    """
    from kvsim.sweep.design import base_scenario, expand, load_sweep
    from kvsim.sweep.place import place_of, writable_place
    from kvsim.sweep.replications import intervals
    from kvsim.sweep.store import RunStore
    from kvsim.sweep.table import (
        REPLICATIONS,
        TABLE,
        rows,
        tabulate,
        write_description,
        write_table,
    )

    run_all = _executor(executor, scheduler, jobs)
    spec = _with_changes(load_sweep(file), parse_changes(changes))
    base = base_scenario(spec, file, profiles=profiles)
    promise = read_slo(slo)
    if promise is not None:
        base = base.replace({"slo": promise.model_dump(mode="json")}, profiles=profiles)
    chosen = list(range(seeds)) if seeds else spec.seeds
    points = expand(
        base, setups=spec.setups, grid=spec.grid, rows=spec.rows(), seeds=chosen, profiles=profiles
    )
    folder = out or f"results/{spec.name}"
    place = place_of(folder)
    store = RunStore(place, "runs")
    if dry_run:
        return _estimate(spec.name, points, store=store, jobs=jobs, resume=resume)

    writable_place(folder, option="--out")
    found = {point.key: store.read(point.key) for point in points} if resume else {}
    summaries = {key: record["summary"] for key, record in found.items() if record}
    failures = _run_missing(points, summaries, store=store, run_all=run_all)
    records = rows(points, summaries)
    if records:
        write_table(tabulate(records), place)
        described = {**spec.model_dump(mode="json"), "seeds": chosen, "scenario": base.to_dict()}
        write_description(described, place)
    labels = [*points[0].label]
    shown = tabulate(records) if records else None
    if records and len(chosen) > 1:
        shown = intervals(records, labels)
        write_table(shown, place, REPLICATIONS)
    if as_json:
        print_json({"name": spec.name, "out": folder, "failed": failures, "rows": records})
    else:
        if shown is not None:
            print_figures(shown, labels)
        typer.echo(f"{len(records)} of {len(points)} runs are in {folder}/{TABLE} and sweep.csv")
    for failure in failures:
        typer.echo(f"kvsim: failed: {failure}", err=True)
    if failures:
        return 1
    return 0 if promise is None or _some_point_keeps(records, labels) else SLO_FAILED


def _with_changes(spec: "SweepSpec", changes: dict[str, Any]) -> "SweepSpec":
    """Add the changes of the command line to those that hold for every run."""
    for path in changes:
        if path in spec.paths:
            raise ConfigError(f"--set {path}: the sweep itself varies it; change the sweep file")
    return spec.model_copy(update={"changes": {**spec.changes, **changes}})


def _some_point_keeps(records: "Sequence[Mapping[str, Any]]", labels: "Sequence[str]") -> bool:
    """Tell whether the promise holds in all seeds of some point."""
    kept: dict[str, bool] = {}
    for row in records:
        point = str([row[label] for label in labels if label != "seed"])
        kept[point] = kept.get(point, True) and bool(row["slo_passed"])
    return any(kept.values())


def _executor(name: str, scheduler: str | None, jobs: int) -> "Executor":
    from kvsim.sweep.execute import execute

    if name == "local" and scheduler is None:
        return partial(execute, jobs=jobs)
    if name == "dask" and scheduler is not None:
        from kvsim.sweep.cluster import execute_on_dask

        return partial(execute_on_dask, scheduler=scheduler)
    raise ConfigError(
        f"--executor {name}: give local (this machine) or dask with --scheduler tcp://host:8786"
    )


def _estimate(
    name: str, points: "Sequence[Point]", *, store: "RunStore", jobs: int, resume: bool
) -> int:
    from kvsim.sweep.execute import estimate_s

    unique = {point.key: point for point in points}
    left = [p for p in unique.values() if not (resume and store.read(p.key))]
    seconds = estimate_s(left, jobs=jobs, measured=store.wall_times()) if left else 0.0
    typer.echo(
        f"{name}: {len(points)} rows, {len(unique)} different runs, {len(left)} to do, "
        f"about {format_seconds(round(seconds))} with {counted(jobs, 'job')}"
    )
    return 0


def _run_missing(
    points: "Sequence[Point]", summaries: dict[str, Any], *, store: "RunStore", run_all: "Executor"
) -> list[str]:
    """Run what is not there yet, adding to the summaries; return a line a failed run."""
    from kvsim.cli.progress import count_bar

    titles = {point.key: point.title for point in points}
    left = [point for point in points if point.key not in summaries]
    failures: list[str] = []
    try:
        with count_bar("runs", transient=False) as report:
            report(len(summaries), len(titles))
            for outcome in run_all(left):
                if outcome.summary is None:
                    trace = store.write_failure(outcome.key, outcome.trace or "")
                    failures.append(f"{titles[outcome.key]}: {outcome.error} (see {trace})")
                else:
                    record = {"summary": outcome.summary, "wall_s": outcome.wall_s}
                    store.write(outcome.key, record)
                    summaries[outcome.key] = outcome.summary
                report()
    except KeyboardInterrupt:
        kept = f"{len(summaries)} of {len(titles)} runs are kept"
        typer.echo(f"kvsim: {kept}; go on with --resume", err=True)
        raise
    return failures


def print_figures(frame: "pd.DataFrame", labels: Sequence[str]) -> None:
    """Print a short table: a row a run, or a row a point with the half-widths of its intervals."""
    if len(frame) > MAX_ROWS_SHOWN:
        return
    from rich.console import Console

    from kvsim.cli.tables import plain_table
    from kvsim.plan.search_words import axis_name, axis_value

    several = "seeds" in frame
    table = plain_table("means of all seeds, 95 % confidence" if several else "runs")
    named = [label for label in labels if label in frame and _tells(label, frame)]
    for label in named:
        table.add_column(axis_name(label), overflow="fold")
    shown = (PROMISED if "slo_passed" in frame else {}) | SHOWN
    keys = [*shown][: max(3, MAX_COLUMNS - len(named))]
    for key in keys:
        table.add_column(shown[key], justify="right")
    for row in frame.to_dict("records"):
        cells = [axis_value(label, row[label]) for label in named]
        table.add_row(*cells, *(_show(row, key) for key in keys))
    Console().print(table)


def _tells(label: str, frame: "pd.DataFrame") -> bool:
    """Tell whether a column is worth its room: set-up and seed are not where there is one."""
    return label not in ("setup", "seed") or frame[label].nunique() > 1


def _show(row: "Mapping[Any, Any]", key: str) -> str:
    value = row[key]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    high = row.get(f"{key}_high", nan)
    return f"{value:,.3f}" + ("" if isnan(high) else f" ± {high - value:,.3f}")
