"""`kvsim validate`: every recorded run that ships with kvsim beside its simulation."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.cli.inputs import (
    JsonOption,
    SetOption,
    existing_folder,
    parse_changes,
    print_json,
    recorded_run,
    shipped_folder,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from kvsim.calibration.validate import Check, Validation

_COLUMNS = {
    "ttft_s_mean": "TTFT\nmean",
    "ttft_s_p50": "\np50",
    "ttft_s_p95": "\np95",
    "decode_tokens_per_s_mean": "decode\nspeed",
    "finished_per_s": "request\nrate",
    "tier_token_shares": "tiers\npoints",
    "replay_share": "equal\nsteps",
}


def validate(
    runs: Annotated[
        Path | None,
        typer.Option("--runs", metavar="DIR", help="The folder that holds the recorded runs."),
    ] = None,
    transfer: Annotated[
        bool,
        typer.Option(
            "--transfer",
            help="Instead: errors of the fit on other GPUs and models, by kind of work.",
        ),
    ] = False,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> int:
    """Simulate and replay every recorded run; exit 1 where an error is larger than its bar.

    Example: kvsim validate --transfer --set calibration=h100-qwen3-8b
    """
    if transfer:
        from kvsim.cli.transfer import print_transfer

        return print_transfer(runs, parse_changes(changes), as_json=as_json)
    folder = (
        shipped_folder("runs", "--runs")
        if runs is None
        else existing_folder(runs, "the folder of recorded runs")
    )

    from kvsim.calibration.validate import find_runs, validate_run

    found = []
    for run_dir in find_runs(folder):
        typer.echo(f"{run_dir.name} ...", err=True)
        found.append(validate_run(run_dir, recorded_run(run_dir, None, changes)))
    holds = all(run.holds for run in found)
    if as_json:
        print_json({"runs": [{**asdict(run), "holds": run.holds} for run in found], "holds": holds})
    else:
        _print(found)
    return 0 if holds else 1


def _print(found: "Sequence[Validation]") -> None:
    from rich.console import Console

    console = Console(highlight=False)
    finished = [run for run in found if _onset(run) is None]
    if finished:
        console.print(_table(finished))
    for run in found:
        check = _onset(run)
        if check is not None:
            console.print(f"{_short(run.name)}: {_stall_words(check)}", soft_wrap=True)
    missed = [f"{_short(run.name)} {c.metric}" for run in found for c in run.checks if not c.holds]
    if missed:
        console.print(f"[bold red]missed:[/] {', '.join(missed)}", soft_wrap=True)
    else:
        console.print("[bold green]all bars hold[/]")


def _table(found: "Sequence[Validation]") -> "Table":
    from rich import box

    from kvsim.calibration.validate import BARS, REPLAY_BAR, SPEED_BAR, TIERS_BAR
    from kvsim.cli.tables import plain_table

    table = plain_table("simulated against measured")
    table.box, table.padding = box.SIMPLE_HEAD, (0, 1, 0, 0)
    table.add_column("run", no_wrap=True)
    for heading in _COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for run in found:
        cells = {check.metric: check for check in run.checks}
        table.add_row(
            _short(run.name), *(_cell(cells[name]) if name in cells else "-" for name in _COLUMNS)
        )
    table.add_section()
    for kind in dict.fromkeys(run.kind for run in found):
        bars = [f"{100 * bar:.3g}%" for bar in BARS[kind].values()]
        rest = (f"{SPEED_BAR:.1%}", f"{100 * TIERS_BAR:.1f}", f"{REPLAY_BAR:.1%}")
        table.add_row(f"bar: {kind}", *bars, *rest)
    return table


def _onset(run: "Validation") -> "Check | None":
    from kvsim.calibration.validate import ONSET

    return next((check for check in run.checks if check.metric == ONSET), None)


def _stall_words(check: "Check") -> str:
    real = "-" if check.measured is None else f"{check.measured:.1f} s"
    if check.simulated is None:
        return f"the engine died {real} after the first request; simulated: it did not"
    return (
        f"the engine died {real} after the first request; simulated: {check.simulated:.1f} s "
        f"(bar {check.bar:.0f} s)"
    )


def _cell(check: "Check") -> str:
    if check.error is None:
        text = "-"
    elif check.metric == "replay_share":
        text = f"{check.simulated:.1%}"
    elif check.metric == "tier_token_shares":
        text = f"{100 * check.error:.2f}"
    else:
        text = f"{check.error:+.1%}"
    return text if check.holds else f"[bold red]{text}[/]"


def _short(name: str) -> str:
    return name.split("__")[0]
