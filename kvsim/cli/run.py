"""`kvsim run`: simulate one scenario and print its summary."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.cli.inputs import (
    JsonOption,
    ProfilesOption,
    SetOption,
    print_json,
    print_remarks,
    read_scenario,
    run_folder,
    writable_folder,
)
from kvsim.cli.slo import SloOption, gate, judge, read_slo, slo_table
from kvsim.errors import ConfigError

if TYPE_CHECKING:
    from kvsim.metrics.result import RunResult
    from kvsim.metrics.slo import SloReport
    from kvsim.spec.scenario import Scenario


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
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=2, help="Run seeds 0 to N-1: means, intervals.")
    ] = None,
    uncertainty: Annotated[
        int | None,
        typer.Option(
            "--uncertainty", min=20, help="Run N draws of the fitted coefficients: 95 % intervals."
        ),
    ] = None,
    no_time: Annotated[
        bool,
        typer.Option("--no-time", help="Hit rates only: each request is served at once."),
    ] = False,
) -> int:
    """Simulate one scenario and print what happened.

    Several runs keep a promise when every seed, or 95 % of the draws, keep it.

    Example: kvsim run FILE --set calibration=h100-qwen3-8b --uncertainty 100 --out DIR
    """
    if uncertainty is not None and seeds is not None:
        raise ConfigError("--uncertainty: draws coefficients at one seed; leave out --seeds")
    described = read_scenario(scenario, changes, seed=seed, profiles=profiles)
    promise = read_slo(slo)
    if no_time:
        if uncertainty is not None or seeds is not None:
            raise ConfigError("--no-time: nothing takes time; leave out --uncertainty and --seeds")
        return _without_time(described, as_json=as_json, out=out, promised=bool(slo))
    if uncertainty is not None or seeds is not None:
        from kvsim.cli.replicate import predict, replicate

        if out is not None:
            writable_folder(out)
        if promise is not None:
            described = described.replace({"slo": promise.model_dump(mode="json")})
        gated = promise is not None
        if seeds is not None:
            return replicate(described, seeds, as_json=as_json, out=out, gated=gated)
        assert uncertainty is not None
        return predict(described, uncertainty, as_json=as_json, out=out, gated=gated)
    if out is not None:
        run_folder(out)

    from kvsim.plan.stall import stall_risk

    risk = stall_risk(described)
    if risk is not None and risk.warning is not None:
        typer.echo(f"kvsim: warning: {risk.warning}", err=True)

    from kvsim.calibration.confidence import confidence, confidence_line, measured_basis
    from kvsim.simulate import simulate

    result = simulate(described, save_to=out)
    print_remarks(result.remarks)
    basis = measured_basis(described)
    trust = confidence(result, basis)
    report = judge(result, promise)
    if as_json:
        judged = {} if report is None else {"slo": report.to_dict()}
        told = {"confidence": trust.verdict, "out_of_range": [asdict(o) for o in trust.outside]}
        print_json(
            {
                **result.summary_dict(),
                **result.tenants_dict(),
                **told,
                **judged,
                "wall_s": result.manifest.wall_s,
            }
        )
    else:
        _print_tables(result, report)
        typer.echo(confidence_line(trust, basis.name))
        if out is not None:
            typer.echo(f"tables saved in {out}")
    return gate(report) if promise is not None else 0


def _without_time(scenario: "Scenario", *, as_json: bool, out: Path | None, promised: bool) -> int:
    """Print the tokens by source of a scenario whose requests are served at once."""
    from kvsim.plan.untimed import untimed_hits

    if promised:
        raise ConfigError("--no-time: gives hit rates only; leave out --slo")
    if out is not None:
        run_folder(out)
    found = untimed_hits(scenario)
    print_remarks(found.remarks)
    if out is not None:
        found.save(out)
    if as_json:
        print_json(found.to_dict())
        return 0
    from rich.console import Console

    from kvsim.cli import tables

    console = Console()
    requests = f"{found.summary['requests']:,} requests"
    console.print(f"[bold]{scenario.name}: {requests} without time[/]", highlight=False)
    console.print(tables.tokens_by_source(found.summary))
    if scenario.tenants is not None:
        console.print(tables.tenant_tokens(found.tenant_rows()))
    if out is not None:
        typer.echo(f"tables saved in {out}")
    return 0


def _print_tables(result: "RunResult", report: "SloReport | None") -> None:
    from rich.console import Console

    from kvsim.cli import tables

    summary = result.summary_dict()
    console = Console()
    console.print(tables.headline(result.scenario.name, summary, result.manifest.wall_s))
    console.print(tables.tokens_by_source(summary))
    console.print(tables.tiers(result.tiers))
    if result.scenario.tenants is not None:
        console.print(tables.tenants(result.tenants_dict()))
    console.print(tables.verdict(summary))
    if report is not None:
        console.print(slo_table(report))
