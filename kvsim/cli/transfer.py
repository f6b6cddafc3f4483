"""`kvsim validate --transfer`: what a fit on one card says of other cards and models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvsim.cli.inputs import existing_folder, print_json, shipped_folder
from kvsim.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from kvsim.calibration.transfer.errors import TransferRow

_WORK = {
    "prefill products": "GEMM\nprefill",
    "decode products": "\ndecode",
    "prefill attention": "attn.\nprefill",
    "decode attention": "\ndecode",
    "prefill experts": "experts\nprefill",
    "decode experts": "\ndecode",
}


def print_transfer(folder: Path | None, changes: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the errors of single kernels, and of the seconds of served runs."""
    from kvsim.calibration.confidence import SHIPPED
    from kvsim.calibration.transfer.errors import transfer_errors
    from kvsim.spec.profiles import Roots, find_calibration

    name = str(changes.get("calibration", SHIPPED))
    others = [path for path in changes if path != "calibration"]
    if others:
        raise ConfigError(f"--set {others[0]}: --transfer takes calibration=NAME only")
    home = shipped_folder("transfer", "--runs") if folder is None else folder
    existing_folder(home, "the folder of other cards' tables")
    rows = transfer_errors(home, find_calibration(name, Roots()))
    if as_json:
        print_json({"calibration": name, "transfer": [asdict(row) for row in rows]})
        return 0
    from rich.console import Console

    console = Console(highlight=False)
    kernels = [row for row in rows if row.work in _WORK]
    served = [row for row in rows if row.work not in _WORK]
    title = f"{name} against single kernels: median of predicted / measured - 1"
    console.print(_kernel_table(title, kernels, attrgetter("bias")))
    beyond = [row for row in kernels if row.beyond is not None]
    title = "the same, beyond the error on the card of the fit: what the transfer adds"
    console.print(_kernel_table(title, beyond, attrgetter("beyond")))
    console.print(_served_table(name, served))
    return 0


def _kernel_table(
    title: str, rows: Sequence[TransferRow], error: Callable[[TransferRow], float]
) -> Table:
    from kvsim.cli.tables import plain_table

    table = plain_table(title)
    _narrow(table)
    for heading in ("GPU", "model", "vLLM"):
        table.add_column(heading, no_wrap=True)
    for heading in _WORK.values():
        table.add_column(heading, justify="right", no_wrap=True)
    groups: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        group = groups.setdefault((row.gpu, row.model, row.source.split()[-1]), {})
        group[row.work] = f"{error(row):+.0%}"
    for names, cells in groups.items():
        table.add_row(*names, *(cells.get(work, "-") for work in _WORK))
    return table


def _narrow(table: Table) -> None:
    """Leave out all lines but that below the heading."""
    from rich import box

    table.box, table.padding, table.show_edge = box.SIMPLE_HEAD, 0, False
    table.pad_edge = False


def _served_table(name: str, rows: Sequence[TransferRow]) -> Table:
    from kvsim.cli.tables import plain_table

    table = plain_table(f"{name} against served runs of other cards")
    _narrow(table)
    for heading in ("GPU", "model", "vLLM", "steps"):
        table.add_column(heading, no_wrap=True)
    for heading in ("cases", "|error|", "bias"):
        table.add_column(heading, justify="right")
    for row in rows:
        run = row.source.removeprefix("served, vLLM ")
        error, bias = f"{row.median_error:.1%}", f"{row.bias:+.1%}"
        table.add_row(row.gpu, row.model, run, row.work, str(row.cases), error, bias)
    return table
