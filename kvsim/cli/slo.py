"""The service promise on the command line: `--slo`, and the exit code when it is broken."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.errors import ConfigError
from kvsim.text import percent, requests_per_s

if TYPE_CHECKING:
    from rich.table import Table

    from kvsim.metrics.result import RunResult
    from kvsim.metrics.slo import SloReport
    from kvsim.spec.slo import SloSpec

SLO_FAILED = 3
"""Exit code of a command whose run breaks its promise."""

SloOption = Annotated[
    str | None,
    typer.Option(
        "--slo",
        "--goodput",
        metavar="SLO",
        help="Promise: 'ttft:p99<2s;itl:p95<50ms', '[{\"p99_e2el_ms\": \"<=200\"}]' (or a .json "
        "file), or 'ttft:500 tpot:50' (ms for each request). Exit code 3 when it is broken.",
    ),
]


def read_slo(text: str | None) -> "SloSpec | None":
    """Read a promise in any grammar, or from a JSON file of vLLM's sweep."""
    if text is None:
        return None
    from pydantic import ValidationError

    from kvsim.spec.problems import problem_line
    from kvsim.spec.slo import SloSpec

    if text.endswith(".json"):
        path = Path(text)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--slo {path}: cannot be read ({error})") from None
    try:
        return SloSpec.model_validate(text)
    except ValidationError as error:
        raise ConfigError(f"--slo: {problem_line(error, SloSpec)}") from None


def judge(result: "RunResult", promise: "SloSpec | None") -> "SloReport | None":
    """Hold a run against the promise of the command line, else its scenario's, if there is one."""
    from kvsim.metrics.slo import evaluate_run

    wanted = promise or result.scenario.slo
    return None if wanted is None else evaluate_run(wanted, result)


def gate(report: "SloReport | None") -> int:
    """Return the exit code of a run: 0, or 3 when its promise is broken."""
    return 0 if report is None or report.passed else SLO_FAILED


def slo_table(report: "SloReport") -> "Table":
    """Tabulate each limit and what came of it."""
    from kvsim.cli.tables import plain_table
    from kvsim.report.run_words import promise_rows

    state = "[green]kept[/]" if report.passed else "[red]broken[/]"
    table = plain_table(
        f"SLO {state}: {percent(report.attainment)} of requests good, "
        f"{requests_per_s(report.goodput_per_s)}"
    )
    for column in ("limit", "promised", "is"):
        table.add_column(column, justify="left" if column == "limit" else "right")
    table.add_column("")
    for label, promised, value, passed in promise_rows(report):
        table.add_row(label, promised, value, "[green]ok[/]" if passed else "[red]broken[/]")
    return table
