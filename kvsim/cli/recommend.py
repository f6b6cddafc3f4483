"""`kvsim recommend`: which tiers to buy, by how much, and what would change the answer."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvsim.cli.existing import LmcacheOption, VllmOption, with_deployment
from kvsim.cli.inputs import (
    JsonOption,
    ProfilesOption,
    SetOption,
    print_json,
    read_scenario,
    writable_folder,
)
from kvsim.cli.size import PriceOption, PricesOption
from kvsim.cli.slo import SLO_FAILED, SloOption, read_slo

if TYPE_CHECKING:
    from kvsim.plan.recommend import Recommendation

TABLE = "recommendation"


def recommend(
    scenario: Annotated[Path, typer.Argument(help="A scenario file (YAML): load and hardware.")],
    storage: Annotated[
        list[str] | None,
        typer.Option(
            "--storage",
            metavar="NAME",
            help="Stores to compare (else ontap-pnfs-rdma and storagegrid-s3).",
        ),
    ] = None,
    slo: SloOption = None,
    budget: Annotated[
        float | None,
        typer.Option("--budget", metavar="USD/H", min=0, help="Most that an hour may cost."),
    ] = None,
    changes: SetOption = None,
    lmcache: LmcacheOption = None,
    vllm_args: VllmOption = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each set-up.")] = 3,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Processes that share the work.")
    ] = None,
    prices: PricesOption = "cloud-list",
    price: PriceOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write table, scenario and deployment here."),
    ] = None,
    as_json: JsonOption = False,
    profiles: ProfilesOption = None,
) -> int:
    """Say which tiers a load needs: GPU memory alone, CPU memory, more of it, or which store.

    With --slo the cheapest set-up that keeps it, else the fastest to the first token. Exit code 3
    when no set-up does it.

    Examples: kvsim recommend scenario.yaml

    kvsim recommend scenario.yaml --slo 'ttft:p95<4s' --budget 8 --storage nfs-tcp --out answer
    """
    described = read_scenario(scenario, changes, profiles=profiles)
    described = with_deployment(described, lmcache, vllm_args, profiles=profiles)
    promise = read_slo(slo)
    from kvsim.plan.recommend import recommend as choose
    from kvsim.plan.setups import default_setups
    from kvsim.spec.cost import load_prices, parse_prices

    setups = default_setups(described, storage or (), profiles=profiles)
    if out is not None:
        from kvsim.deploy import deployment_files

        writable_folder(out)
        for setup in setups.values():
            deployment_files(described.replace(setup))  # what cannot be deployed is an error now
    price_list = load_prices(prices, profiles=profiles)
    given_prices = parse_prices(price)
    from kvsim.cli.progress import count_bar

    with count_bar("runs") as report:
        found = choose(
            described,
            setups=setups,
            slo=promise,
            budget_usd_per_hour=budget,
            seeds=seeds,
            jobs=jobs or os.cpu_count() or 1,
            prices=price_list,
            given_prices=given_prices,
            on_progress=report,
        )
    written = [] if out is None else _write(found, out)
    if as_json:
        print_json({**found.to_dict(), "files": [str(path) for path in written]})
    else:
        _print(found)
        for path in written:
            typer.echo(f"written: {path}")
    return 0 if found.chosen in set(found.table["setup"]) else SLO_FAILED


def _write(found: "Recommendation", out: Path) -> list[Path]:
    from kvsim.deploy import deployment_files, scenario_text
    from kvsim.sweep.table import write_table

    write_table(found.table, out, TABLE)
    files = {"scenario.yaml": scenario_text(found.scenario)}
    if found.chosen in set(found.table["setup"]):
        files |= deployment_files(found.scenario)
    for name, text in files.items():
        (out / name).write_text(text, encoding="utf-8")
    return [out / name for name in (f"{TABLE}.parquet", f"{TABLE}.csv", *files)]


def _print(found: "Recommendation") -> None:
    from rich.console import Console

    from kvsim.cli.tables import plain_table
    from kvsim.text import duration, number, value_text

    console = Console()
    for line in found.words:
        console.print(line, markup=False, highlight=False)
        console.print()
    table = plain_table("means of all seeds")
    table.add_column("set-up", overflow="fold")
    for heading in ("TTFT", "p95", "requests/s", "decode", "USD/h"):
        table.add_column(heading, justify="right")
    table.add_column("", no_wrap=True)
    rows: list[dict[str, Any]] = found.table.to_dict("records")  # type: ignore[assignment]
    for row in rows:
        table.add_row(
            row["setup"],
            duration(row["ttft_s_mean"]),
            duration(row["ttft_s_p95"]),
            value_text(row["finished_per_s"]),
            number(row["decode_tokens_per_s_mean"]),
            number(row["usd_per_hour"], 2),
            row["verdict"].partition(":")[0],
        )
    console.print(table)
