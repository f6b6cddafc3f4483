"""`kvsim breakeven`: load or recompute."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kvsim.cli.inputs import (
    HtmlOption,
    JsonOption,
    ProfilesOption,
    SetOption,
    check_html,
    print_json,
    read_scenario,
)
from kvsim.errors import ConfigError


def breakeven(
    scenario: Annotated[Path, typer.Argument(help="A scenario file (YAML).")],
    storage: Annotated[
        list[str] | None,
        typer.Option("--storage", metavar="NAME", help="Stores to compare (else the scenario's)."),
    ] = None,
    question: Annotated[
        int, typer.Option("--question", min=1, help="New tokens behind the cached context.")
    ] = 128,
    concurrency: Annotated[
        str, typer.Option("--concurrency", help="Instances that load at once; first: the curves.")
    ] = "1,2,4,8",
    gpu: Annotated[
        list[str] | None,
        typer.Option("--gpu", metavar="NAME", help="Other GPUs (else all profiles)."),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="NAME", help="Other models.")
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate/--no-simulate", help="Check points by simulation.")
    ] = True,
    changes: SetOption = None,
    html: HtmlOption = None,
    as_json: JsonOption = False,
    profiles: ProfilesOption = None,
) -> int:
    """Say from which context length on loading from each tier beats computing, and when it hurts.

    Examples: kvsim breakeven scenario.yaml --storage ontap-pnfs-rdma --storage storagegrid-s3

    kvsim breakeven scenario.yaml --concurrency 8,1 --model llama-3.1-8b --html breakeven.html
    """
    described = read_scenario(scenario, changes, profiles=profiles)
    counts = _counts(concurrency)
    check_html(html)
    from kvsim.plan.breakeven import SIMULATED_POINTS
    from kvsim.plan.breakeven_plan import make_breakeven_plan
    from kvsim.spec.load import list_profiles, load_profile

    stores = [load_profile("storage", name, profiles=profiles) for name in storage or []]
    if not stores and described.offload.remote is not None:
        stores = [described.offload.remote.profile]
    from kvsim.cli.progress import count_bar

    with count_bar("tiers") as report:
        report(0, 1 + len(stores))
        data = make_breakeven_plan(
            described,
            stores,
            question=question,
            concurrency=counts,
            gpus=gpu if gpu else list_profiles("gpus", profiles=profiles),
            models=model or [],
            simulated=SIMULATED_POINTS if simulate else 0,
            on_tier=report,
        )
    if html is not None:
        from kvsim.report.plan_page import breakeven_page

        breakeven_page(data).write(html)
    if as_json:
        print_json(data)
    else:
        _print(data)
        if html is not None:
            typer.echo(f"page: {html}")
    return 0


def _counts(text: str) -> list[int]:
    try:
        counts = [int(word) for word in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1 or max(counts) > 1024:
        raise ConfigError(f"--concurrency: {text!r} are no counts from 1 to 1024; write e.g. 1,4,8")
    return counts


def _print(data: dict[str, Any]) -> None:
    from rich.console import Console

    from kvsim.cli.tables import plain_table
    from kvsim.text import duration, percent
    from kvsim.units import format_rate

    console = Console()
    for tier in data["tiers"]:
        for line in tier["words"]:
            console.print(line)
        table = plain_table(f"time to first token from {tier['tier']}")
        for heading in ("context", "load", "simulated", "compute", "needs", "hits to pay"):
            table.add_column(heading, justify="right")
        for point in tier["curve"]:
            if point["simulated_recompute_s"] is None and _has_simulated(tier):
                continue
            share, rate = point["break_even_hit_rate"], point["rate_needed_bytes_per_s"]
            table.add_row(
                f"{point['context']:,}",
                duration(point["load_s"]),
                duration(point["simulated_load_s"]),
                duration(point["recompute_s"]),
                "-" if rate is None else format_rate(rate),
                "never" if share is None else percent(share),
            )
        console.print(table)
    table = plain_table("what would move the break-even")
    for heading in ("tier", "changed", "to", "loading wins"):
        table.add_column(heading, overflow="fold")
    for tier in data["tiers"]:
        for row in tier["what_ifs"]:
            table.add_row(row["tier"], row["changed"], row["value"], row["words"])
    console.print(table)


def _has_simulated(tier: dict[str, Any]) -> bool:
    return any(point["simulated_recompute_s"] is not None for point in tier["curve"])
