"""`kvsim search`: the largest load within a promise, or the cheapest design that carries a load."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvsim.cli.inputs import (
    JsonOption,
    ProfilesOption,
    SetOption,
    parse_changes,
    print_json,
    read_scenario,
    writable_folder,
)
from kvsim.cli.size import PriceOption, PricesOption
from kvsim.cli.slo import SLO_FAILED, SloOption, read_slo
from kvsim.errors import ConfigError
from kvsim.text import duration, value_text

if TYPE_CHECKING:
    import pandas as pd

    from kvsim.plan.search import LoadAnswer, SearchAnswer
    from kvsim.plan.search_space import SearchSpec
    from kvsim.spec.cost import PriceList
    from kvsim.spec.scenario import Scenario
    from kvsim.spec.slo import SloSpec

MAX_SHOWN = 10
MAX_EXCLUDED = 5
MAX_AXES = 3
_WIDE_REASON = 60
DESCRIPTION = "search.json"


def search(
    file: Annotated[
        Path, typer.Argument(help="A scenario file, or a search file with a `space:` (YAML).")
    ],
    slo: SloOption = None,
    maximise: Annotated[
        str | None,
        typer.Option(
            "--maximise",
            metavar="PATH",
            help="Find the largest load: workload.qps, workload.num_users, workload.rate_scale.",
        ),
    ] = None,
    low: Annotated[
        float | None, typer.Option("--low", help="Smallest load looked at (else a 64th).")
    ] = None,
    high: Annotated[
        float | None, typer.Option("--high", help="Largest load looked at (else 64 times).")
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar="PATH=VALUES",
            help="What a design may choose: 'instances=[1, 2, 4]' or "
            "'offload.cpu.capacity={low: 20GiB, high: 200GiB, step: 20GiB}'.",
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            "--objective",
            metavar="NAME",
            help="usd_per_hour (default), usd_per_million_tokens, ttft_s_p95, ...; "
            "several make a frontier.",
        ),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option("--constraint", metavar="LIMIT", help="E.g. 'gpus<=4' or 'usd_per_hour<20'."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Most designs to simulate (else 24).")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the sampler of designs.")
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Runs of each design or load, seeds 0 to N-1.")
    ] = 1,
    changes: SetOption = None,
    prices: PricesOption = "cloud-list",
    price: PriceOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Keep every trial here, at once."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the search that DIR holds.")
    ] = False,
    as_json: JsonOption = False,
    profiles: ProfilesOption = None,
) -> int:
    """Find the cheapest design that carries a load, or the largest load that a design carries.

    A space of at most --trials designs is tried whole, a larger one sampled. Exit code 3: nothing
    that was tried keeps the promise.

    Examples: kvsim search scenario.yaml --slo 'ttft:p95<2s'

    kvsim search scenario.yaml --slo 'ttft:p95<2s' --maximise workload.num_users

    kvsim search search.yaml --objective usd_per_hour --objective ttft_s_p95 --out results/search
    """
    spec, described = _read(file, changes, profiles)
    promise = read_slo(slo) or (spec.slo if spec else None) or described.slo
    if resume and out is None:
        raise ConfigError("--resume: goes with --out DIR, the folder of the search to go on with")
    if maximise is not None:
        _refuse_with_load(space, objective, constraint, trials, resume)
        return _load(described, promise, maximise, (low, high), seeds, out=out, as_json=as_json)
    if low is not None or high is not None:
        raise ConfigError("--low, --high: bound a load; name it with --maximise PATH")
    from kvsim.cli.progress import count_bar
    from kvsim.plan.search import cheapest_design, default_space, gpus_avoided_by
    from kvsim.plan.search_space import DEFAULT_TRIALS, read_space
    from kvsim.spec.cost import load_prices, parse_prices

    listed = load_prices(prices, profiles=profiles)
    own = {**(spec.space if spec else {}), **_axes(space)}
    trials_file = _trials_file(out, resume=resume)
    with _trials_kept(trials_file), count_bar("designs") as report:
        answer = cheapest_design(
            described,
            read_space(own) if own else default_space(described, listed),
            prices=listed,
            slo=promise,
            objectives=objective or (spec.objectives if spec else ["usd_per_hour"]),
            constraints=[*(spec.constraints if spec else []), *(constraint or [])],
            trials=trials or (spec.trials if spec else DEFAULT_TRIALS),
            seed=seed if seed is not None else (spec.seed if spec else 0),
            seeds=seeds,
            given=parse_prices(price),
            on_progress=report,
            resume_from=trials_file,
            profiles=profiles,
        )
    from kvsim.plan.search_words import avoided_words, search_notes, search_words

    avoided = gpus_avoided_by(answer)
    words = [*search_words(answer), *avoided_words(avoided)]
    notes = search_notes(answer, _storage_prices(answer, listed, parse_prices(price)))
    data = {
        "name": spec.name if spec else described.name,
        "verdict": words,
        "notes": notes,
        "gpus_avoided": avoided,
        **answer.to_dict(),
    }
    if out is not None:
        _save(out, answer.table, data, "trials")
    if as_json:
        print_json(data)
    else:
        _print_designs(answer, words, notes)
        if out is not None:
            typer.echo(f"all trials are in {out}/trials.parquet and trials.csv")
    return SLO_FAILED if answer.best is None else 0


def _read(
    file: Path, changes: list[str] | None, profiles: Path | None
) -> "tuple[SearchSpec | None, Scenario]":
    """Read a search file, or a scenario alone."""
    from kvsim.spec.yamlfile import read_mapping

    data = read_mapping(file)
    if "space" not in data:
        return None, read_scenario(file, changes, profiles=profiles)
    from kvsim.plan.search_space import load_search
    from kvsim.spec.load import scenario_beside

    spec = load_search(file)
    made = {**spec.changes, **parse_changes(changes)}
    return spec, scenario_beside(spec.scenario, file, changes=made, profiles=profiles)


def _axes(pairs: list[str] | None) -> dict[str, Any]:
    from kvsim.spec.changes import parse_assignment

    try:
        return dict(parse_assignment(pair) for pair in pairs or ())
    except ConfigError as error:
        raise ConfigError(f"--space {error}") from error


def _refuse_with_load(*given: object) -> None:
    if any(given):
        raise ConfigError(
            "--maximise: finds a load; --space, --objective, --constraint, --trials and --resume "
            "are for designs"
        )


def _trials_file(out: Path | None, *, resume: bool) -> Path | None:
    from kvsim.plan.search_store import TRIALS

    if out is None:
        return None
    path = writable_folder(out) / TRIALS
    if path.exists() and not resume:
        raise ConfigError(f"--out {out}: holds a search; go on with --resume, or name another")
    return path


def _storage_prices(
    answer: "SearchAnswer", listed: "PriceList", given: dict[str, Any]
) -> dict[str, float]:
    """Give what a TB costs a month in the best design's store."""
    from kvsim.plan.search_trial import prices_of

    best = answer.best_scenario
    if best is None or best.offload.remote is None:
        return {}
    return {best.offload.remote.profile.name: prices_of(best, listed, given).usd_per_tb_month}


def _load(
    scenario: "Scenario",
    slo: "SloSpec | None",
    path: str,
    bounds: tuple[float | None, float | None],
    seeds: int,
    *,
    out: Path | None,
    as_json: bool,
) -> int:
    from kvsim.cli.progress import count_bar
    from kvsim.plan.search import largest_load
    from kvsim.plan.search_words import load_words

    if out is not None:
        writable_folder(out)
    with count_bar("runs") as report:
        answer = largest_load(
            scenario,
            path=path,
            slo=slo,
            low=bounds[0],
            high=bounds[1],
            seeds=seeds,
            on_progress=report,
        )
    words = load_words(answer, slo)
    data = {"name": scenario.name, "verdict": words, **answer.to_dict()}
    if out is not None:
        _save(out, answer.tried, data, "loads")
    if as_json:
        print_json(data)
    else:
        _print_loads(answer, words)
        if out is not None:
            typer.echo(f"all loads are in {out}/loads.parquet and loads.csv")
    return SLO_FAILED if answer.value is None else 0


def _save(out: Path, table: "pd.DataFrame", data: dict[str, Any], name: str) -> None:
    import json

    from kvsim.sweep.place import place_of
    from kvsim.sweep.table import write_table

    write_table(table, out, name)
    place_of(out).write(DESCRIPTION, f"{json.dumps(data, indent=1, allow_nan=False)}\n".encode())


@contextmanager
def _trials_kept(trials_file: Path | None) -> Iterator[None]:
    """Tell whoever interrupts a search how to go on with it."""
    try:
        yield
    except KeyboardInterrupt:
        if trials_file is not None:
            typer.echo(
                f"kvsim: finished trials are in {trials_file}; go on with --resume", err=True
            )
        raise


def _print_designs(answer: "SearchAnswer", words: list[str], notes: list[str]) -> None:
    from rich.console import Console

    from kvsim.cli.tables import plain_table
    from kvsim.plan.search_words import axis_name, axis_value, design_words, objective_name

    console = Console()
    for line in words:
        console.print(line, highlight=False)
    for note in notes:
        console.print(f"Note: {note}.", highlight=False)
    first, way = next(iter(answer.objectives.items()))
    table = answer.table
    good = table[table["feasible"]].sort_values(
        ["pareto", first], ascending=[False, way == "min"], kind="stable"
    )
    several = len(answer.objectives) > 1
    if len(good):
        shown = plain_table(f"best designs, {min(len(good), MAX_SHOWN)} of {len(good)}")
        for path in answer.space:
            shown.add_column(axis_name(path), no_wrap=True)
        also = ["ttft_s_p95"] if len(answer.space) > MAX_AXES else ["ttft_s_p95", "finished_per_s"]
        figures = [*dict.fromkeys([*answer.objectives, *also])]
        for name in figures:
            shown.add_column(objective_name(name), justify="right")
        if several:
            shown.add_column("front")
        for row in good.head(MAX_SHOWN).to_dict("records"):
            cells = [axis_value(path, row[path]) for path in answer.space]
            cells += [value_text(row[name]) for name in figures]
            shown.add_row(*cells, *((["yes" if row["pareto"] else ""]) if several else []))
        console.print(shown)
    out = sorted(
        (t for t in answer.trials if t.excluded_reason), key=lambda t: (not t.figures, t.violation)
    )
    if out:
        shown = plain_table(f"excluded, the nearest {min(len(out), MAX_EXCLUDED)} of {len(out)}")
        shown.add_column("design", max_width=100 - _WIDE_REASON - 7)
        shown.add_column("why", max_width=_WIDE_REASON)
        for trial in out[:MAX_EXCLUDED]:
            shown.add_row(design_words(trial.design), trial.excluded_reason)
        console.print(shown)


def _print_loads(answer: "LoadAnswer", words: list[str]) -> None:
    from rich.console import Console

    from kvsim.cli.tables import plain_table

    console = Console()
    for line in words:
        console.print(line, highlight=False)
    table = plain_table("loads tried")
    load = answer.path.rpartition(".")[2]
    for heading in (load, "passes", "TTFT p95", "requests/s", "good/s"):
        table.add_column(heading, justify="right")
    table.add_column("why not")
    for row in answer.tried.to_dict("records"):
        cells = [
            duration(row["ttft_s_p95"]),
            value_text(row["finished_per_s"]),
            value_text(row["goodput_per_s"]),
        ]
        passes = "[green]yes[/]" if row["passes"] else "[red]no[/]"
        table.add_row(f"{row['load']:g}", passes, *cells, row["reason"])
    console.print(table)
