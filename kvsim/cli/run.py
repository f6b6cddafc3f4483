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

if TYPE_CHECKING:
    from kvsim.metrics.result import RunResult


def run(
    scenario: Annotated[Path, typer.Argument(help="A scenario file (YAML).")],
    changes: SetOption = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the random draws.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Save the tables of the run here.")
    ] = None,
    as_json: JsonOption = False,
    profiles: ProfilesOption = None,
) -> int:
    """Simulate one scenario and print what happened."""
    described = read_scenario(scenario, changes, seed=seed, profiles=profiles)
    if out is not None:
        run_folder(out)

    from kvsim.simulate import simulate

    result = simulate(described)
    if out is not None:
        result.save(out)
    if as_json:
        print_json({**result.summary_dict(), "wall_s": result.manifest.wall_s})
    else:
        _print_tables(result)
        if out is not None:
            typer.echo(f"tables saved in {out}")
    return 0


def _print_tables(result: "RunResult") -> None:
    from rich.console import Console

    from kvsim.cli import tables

    summary = result.summary_dict()
    console = Console()
    console.print(tables.headline(result.scenario.name, summary, result.manifest.wall_s))
    console.print(tables.tokens_by_source(summary))
    console.print(tables.tiers(result.tiers))
    console.print(tables.verdict(summary))
