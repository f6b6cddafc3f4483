"""`kvsim explain`: the formulas behind a scenario with its numbers, and what a run shows."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.cli.inputs import (
    JsonOption,
    ProfilesOption,
    SetOption,
    existing_folder,
    print_json,
    read_scenario,
)
from kvsim.errors import ConfigError

if TYPE_CHECKING:
    from kvsim.metrics.result import RunResult
    from kvsim.plan.diagnose import Finding
    from kvsim.plan.formulas import Formula


def explain(
    subject: Annotated[Path, typer.Argument(help="A scenario file, or a folder of a saved run.")],
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="DIR", help="Saved run without offload, to compare."),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option("--context", min=1, help="Cached tokens of the formulas (else the mean)."),
    ] = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
    profiles: ProfilesOption = None,
) -> int:
    """Fill in the formulas of offload, and say what helps, what hurts and what to do about it.

    A scenario is simulated, with its tiers and without; of a saved run the tables are read.

    Examples: kvsim explain scenario.yaml

    kvsim explain results/one --baseline results/gpu-only
    """
    result, base = _runs(subject, baseline, changes, profiles)
    from kvsim.plan.diagnose import diagnose
    from kvsim.plan.formulas import formulas

    if context is None:
        prompts = result.columns("requests", "prompt_tokens")["prompt_tokens"]
        context = int(prompts.mean()) if len(prompts) else None
    filled = formulas(result.scenario, context=context)
    findings = diagnose(result, base)
    if as_json:
        print_json(
            {
                "scenario": result.scenario.name,
                "formulas": [{**asdict(each), "shown": each.shown} for each in filled],
                "findings": [asdict(each) for each in findings],
            }
        )
    else:
        _print(filled, findings)
    return 0


def _runs(
    subject: Path, baseline: Path | None, changes: list[str] | None, profiles: Path | None
) -> "tuple[RunResult, RunResult | None]":
    from kvsim.metrics.result import RunResult
    from kvsim.simulate import simulate

    base = None if baseline is None else RunResult.load(existing_folder(baseline, "the saved run"))
    if subject.is_dir():
        if changes:
            raise ConfigError("--set: changes a scenario; a saved run is over")
        return RunResult.load(subject), base
    described = read_scenario(subject, changes, profiles=profiles)
    if base is None and described.offload.connector != "none":
        alone = {"offload.connector": "none", "offload.remote": None}
        base = simulate(described.replace(alone, profiles=profiles))
    return simulate(described), base


def _print(filled: "list[Formula]", findings: "list[Finding]") -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for each in filled:
        console.print(f"[bold]{each.label}: {each.shown}[/]")
        console.print(f"  = {each.formula}", markup=False)
        console.print(f"  = {each.filled}", markup=False)
        console.print(f"  [dim]{each.source}[/]")
    console.print()
    for number, found in enumerate(findings, start=1):
        console.print(f"[bold]{number}. {found.what}[/]")
        console.print(f"   {found.evidence}", markup=False)
        console.print(f"   way out: {found.way_out}", markup=False)
    if not findings:
        console.print("No rule finds anything that holds this run back.")
