"""`kvsim run`: simulate one scenario and print its summary."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.cli.inputs import (
    JsonOption,
    ProfilesOption,
    SetOption,
    print_json,
    read_scenario,
    run_folder,
)
from kvsim.cli.slo import SloOption, gate, judge, read_slo, slo_table

if TYPE_CHECKING:
    from kvsim.metrics.result import RunResult
    from kvsim.metrics.slo import SloReport


def run(
    scenario: Annotated[Path, typer.Argument(help="A scenario file (YAML).")],
    changes: SetOption = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the random draws.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Save the tables of the run here.")
    ] = None,
    as_json: JsonOption = False,
    profiles: ProfilesOption = None,
    slo: SloOption = None,
) -> int:
    """Simulate one scenario and print what happened."""
    described = read_scenario(scenario, changes, seed=seed, profiles=profiles)
    promise = read_slo(slo)
    if out is not None:
        run_folder(out)

    from kvsim.simulate import simulate

    result = simulate(described)
    report = judge(result, promise)
    if out is not None:
        result.save(out)
    if as_json:
        judged = {} if report is None else {"slo": report.to_dict()}
        print_json({**result.summary_dict(), **judged, "wall_s": result.manifest.wall_s})
    else:
        _print_tables(result, report)
        if out is not None:
            typer.echo(f"tables saved in {out}")
    return gate(report) if promise is not None else 0


def _print_tables(result: "RunResult", report: "SloReport | None") -> None:
    from rich.console import Console

    from kvsim.cli import tables

    summary = result.summary_dict()
    console = Console()
    console.print(tables.headline(result.scenario.name, summary, result.manifest.wall_s))
    console.print(tables.tokens_by_source(summary))
    console.print(tables.tiers(result.tiers))
    console.print(tables.verdict(summary))
    if report is not None:
        console.print(slo_table(report))
