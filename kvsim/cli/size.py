"""`kvsim size`: how much memory and storage, for a hit rate or a promise."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

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
from kvsim.cli.slo import SLO_FAILED, SloOption, read_slo
from kvsim.errors import ConfigError
from kvsim.text import duration, number, percent, value_text
from kvsim.units import format_bytes, format_rate

if TYPE_CHECKING:
    from kvsim.plan.size import TierName
    from kvsim.plan.size_plan import SizePlan
    from kvsim.spec.scenario import Scenario

TIERS = ("hbm", "cpu", "remote")

PricesOption = Annotated[
    str,
    typer.Option("--prices", metavar="NAME|FILE", help="Price list (profiles/prices, or a file)."),
]
PriceOption = Annotated[
    list[str] | None,
    typer.Option("--price", metavar="NAME=USD", help="One price, e.g. gpu_usd_per_hour=2.5."),
]


def size(
    scenario: Annotated[Path, typer.Argument(help="A scenario file (YAML).")],
    hit_rate: Annotated[
        float | None,
        typer.Option("--hit-rate", metavar="RATE", help="Token hit rate to reach, e.g. 0.9."),
    ] = None,
    slo: SloOption = None,
    tier: Annotated[
        list[str] | None,
        typer.Option("--tier", help="Tier to size: hbm, cpu, remote (else all below the GPU)."),
    ] = None,
    changes: SetOption = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Runs of each capacity, with seeds 0 to N-1.")
    ] = 1,
    prices: PricesOption = "cloud-list",
    price: PriceOption = None,
    html: HtmlOption = None,
    as_json: JsonOption = False,
    profiles: ProfilesOption = None,
) -> int:
    """Find the smallest capacity of each tier that reaches a hit rate or keeps a promise.

    Without either: the smallest that reaches 95 % of what memory without limit would find.

    Examples: kvsim size scenario.yaml --hit-rate 0.8

    kvsim size scenario.yaml --slo 'ttft:p95<2s' --tier cpu --html size.html
    """
    described = read_scenario(scenario, changes, profiles=profiles)
    wanted = _tiers(described, tier)
    promise = read_slo(slo) or described.slo
    from kvsim.plan.size import Target
    from kvsim.plan.size_plan import make_size_plan
    from kvsim.spec.cost import load_prices, parse_prices, resolve_prices

    target = None if hit_rate is None and promise is None else Target(hit_rate, promise)
    remote = described.offload.remote
    chosen = resolve_prices(
        load_prices(prices, profiles=profiles),
        described.gpu,
        remote.profile if remote is not None else None,
        given=parse_prices(price),
    )
    check_html(html)
    from kvsim.cli.progress import count_bar

    with count_bar("runs") as report:
        plan = make_size_plan(
            described,
            chosen,
            target=target,
            tiers=wanted,
            seeds=list(range(seeds)) if seeds > 1 else None,
            on_run=report,
        )
    data = plan.to_dict()
    if html is not None:
        from kvsim.report.plan_page import size_page

        size_page(data).write(html)
    if as_json:
        print_json(data)
    else:
        _print(plan, data)
        if html is not None:
            typer.echo(f"page: {html}")
    return 0 if plan.reached else SLO_FAILED


def _tiers(scenario: "Scenario", given: list[str] | None) -> "list[TierName] | None":
    for name in given or []:
        if name not in TIERS:
            raise ConfigError(f"--tier: {name!r} does not exist; choose {', '.join(TIERS)}")
    if given and "remote" in given and scenario.offload.remote is None:
        raise ConfigError("--tier remote: the scenario has no offload.remote; add one")
    return cast("list[TierName] | None", given)


def _print(plan: "SizePlan", data: dict[str, Any]) -> None:
    from rich.console import Console

    from kvsim.cli.slo import slo_table
    from kvsim.cli.tables import plain_table
    from kvsim.report.plan_page import COST_NAMES, TIER_NAMES, TOKEN_COSTS, size_words

    console = Console()
    for line in size_words(data):
        console.print(line)
    for note in data["notes"]:
        console.print(f"Note: {note}.")
    if plan.trial.slo is not None:
        console.print(slo_table(plan.trial.slo))
    for tier in plan.tiers:
        if not tier.points:
            continue
        table = plain_table(f"simulated capacities of {TIER_NAMES[tier.tier]}, per rank")
        for heading in ("capacity", "hit rate", "local", "TTFT", "requests/s", "stable", "target"):
            table.add_column(heading, justify="right")
        for point in tier.points:
            table.add_row(
                format_bytes(point.capacity_bytes),
                percent(point.hit_rate),
                percent(point.local_hit_rate),
                duration(point.ttft_s_mean),
                value_text(point.finished_per_s),
                "yes" if point.stable else "no",
                "yes" if point.meets else "no",
            )
        console.print(table)
    if data["demands"]:
        table = plain_table("what the tiers have to move, all instances; peak: most in 1 s")
        for heading in ("tier", "", "mean", "p95", "p99", "peak", "obj/s"):
            table.add_column(heading, justify="left" if heading in ("tier", "") else "right")
        for each in data["demands"]:
            rates = [format_rate(each[f"{key}_bytes_per_s"]) for key in _RATES]
            table.add_row(
                TIER_NAMES[each["tier"]],
                each["direction"],
                *rates,
                number(each["mean_objects_per_s"]),
            )
        console.print(table)
    for each in data["writes"]:
        console.print(
            f"The store is written {format_bytes(each['bytes_per_day'])} a day; write "
            f"amplification {number(each['amplification'], 2)}."
        )
    cost = data["cost"]
    table = plain_table(f"cost: {cost['usd_per_hour']:,.2f} USD an hour")
    table.add_column("component")
    table.add_column("USD", justify="right")
    for key, name in COST_NAMES.items():
        table.add_row(f"{name}, an hour", number(cost[key], 4))
    for key, name in TOKEN_COSTS.items():
        table.add_row(f"{name}, a million", number(cost[key], 4))
    console.print(table)


_RATES = ("mean", "p95", "p99", "peak")
