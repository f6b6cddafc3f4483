"""Options that read an existing deployment in place of a scenario's own settings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kvsim.spec.scenario import Scenario

LmcacheOption = Annotated[
    Path | None,
    typer.Option("--from-lmcache", metavar="FILE", help="Take the tiers from this LMCache YAML."),
]
VllmOption = Annotated[
    str | None,
    typer.Option(
        "--vllm-args", metavar="ARGS", help="Take the engine from these `vllm serve` arguments."
    ),
]


def with_deployment(
    scenario: "Scenario",
    lmcache: Path | None,
    vllm_args: str | None,
    *,
    storage: str | None = None,
    profiles: Path | None = None,
) -> "Scenario":
    """Put an existing deployment into a scenario; what could not be read goes to stderr."""
    if lmcache is None and vllm_args is None:
        return scenario
    from kvsim.deploy import existing_deployment

    found, reading = existing_deployment(
        scenario, lmcache=lmcache, vllm_args=vllm_args, storage=storage, profiles=profiles
    )
    for warning in reading.warnings:
        typer.echo(f"kvsim: warning: {warning}", err=True)
    for note in reading.notes:
        typer.echo(f"kvsim: note: {note}", err=True)
    return found
