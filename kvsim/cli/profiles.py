"""`kvsim profiles`: what can be named in a scenario, and where its numbers come from."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kvsim.cli.inputs import ProfilesOption
from kvsim.errors import ConfigError
from kvsim.units import format_bytes, format_count, format_rate, format_seconds

if TYPE_CHECKING:
    from rich.console import Console

    from kvsim.spec.base import Profile
    from kvsim.spec.cost import PriceList

Kind = Literal["models", "gpus", "hosts", "storage"]
KINDS: tuple[Kind, ...] = ("models", "gpus", "hosts", "storage")
PRICES: Literal["prices"] = "prices"


def profiles(
    kind: Annotated[
        str | None,
        typer.Argument(help="models, gpus, hosts, storage or prices; all where left out."),
    ] = None,
    name: Annotated[
        str | None, typer.Argument(help="One profile: every number with its source.")
    ] = None,
    folder: ProfilesOption = None,
) -> int:
    """List the profiles, or show one with the source of each number.

    Examples: kvsim profiles gpus

    kvsim profiles prices cloud-list
    """
    from rich.console import Console

    from kvsim.spec.load import list_profiles

    console = Console()
    wanted = None if kind is None else _known(kind)
    list_profiles("models", profiles=folder)  # a folder that is not there, before any output
    if wanted is None or wanted == PRICES:
        if name is not None:
            _print_numbers(console, PRICES, _price_list(name, folder))
        else:
            _print_price_lists(console, folder)
    for each in KINDS if wanted is None else (wanted,):
        if each == PRICES:
            continue
        if name is None:
            _print_list(console, each, folder)
        else:
            _print_one(console, each, name, folder)
    return 0


def _known(kind: str) -> Kind | Literal["prices"]:
    kinds: tuple[Kind | Literal["prices"], ...] = (*KINDS, PRICES)
    for known in kinds:
        if kind in (known, known.removesuffix("s")):
            return known
    raise ConfigError(f"profiles {kind}: no such kind; the kinds are {', '.join(kinds)}")


def _print_list(console: "Console", kind: Kind, folder: Path | None) -> None:
    from kvsim.cli.tables import plain_table
    from kvsim.spec.load import list_profiles, load_profile

    columns = _COLUMNS[kind]
    table = plain_table(kind)
    table.add_column("name", no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right")
    table.add_column("sources")
    for name in list_profiles(kind, profiles=folder):
        profile = load_profile(kind, name, profiles=folder)
        kinds = sorted({source.kind for source in profile.sources.values()})
        table.add_row(name, *(show(profile) for show in columns.values()), ", ".join(kinds))
    console.print(table)


def _print_one(console: "Console", kind: Kind, name: str, folder: Path | None) -> None:
    from kvsim.spec.load import load_profile

    _print_numbers(console, kind, load_profile(kind, name, profiles=folder))


def _print_numbers(console: "Console", kind: str, profile: "Profile") -> None:
    """Print every number of a profile with the kind of its source, then the sources in full."""
    from kvsim.cli.tables import plain_table
    from kvsim.spec.base import numeric_leaves

    table = plain_table(f"{kind}: {profile.name}")
    table.add_column("number")
    table.add_column("value", justify="right")
    table.add_column("source")
    for path, value in numeric_leaves(profile.model_dump(exclude={"sources"})):
        table.add_row(path, f"{value:,.6g}", profile.source_of(path).kind)
    console.print(table)
    for prefix, source in profile.sources.items():
        where = " ".join(part for part in (source.date, source.address) if part)
        words = f"{prefix}: {source.kind}, {source.how}{f' ({where})' if where else ''}"
        lines = textwrap.wrap(
            words,
            console.width,
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        typer.echo("\n".join(lines))


def _price_list(name: str, folder: Path | None) -> "PriceList":
    from kvsim.spec.cost import load_prices

    return load_prices(name, profiles=folder)


def _print_price_lists(console: "Console", folder: Path | None) -> None:
    """Print the main prices of each list, each with the kind and the date of its source."""
    from kvsim.cli.tables import plain_table
    from kvsim.spec.base import numeric_leaves
    from kvsim.spec.cost import list_prices

    for name in list_prices(profiles=folder):
        prices = _price_list(name, folder)
        table = plain_table(f"prices: {name}")
        table.add_column("what", no_wrap=True)
        table.add_column("USD", justify="right")
        table.add_column("source")
        table.add_column("date", no_wrap=True)
        rows = [
            *((f"{gpu}, hour", f"gpu_usd_per_hour.{gpu}") for gpu in prices.gpu_usd_per_hour),
            ("host memory, GB and hour", "ram_usd_per_gb_hour"),
            *((f"{s}, TB and month", f"storage.{s}.usd_per_tb_month") for s in prices.storage),
        ]
        numbers = dict(numeric_leaves(prices.model_dump(exclude={"sources"})))
        for words, path in rows:
            source = prices.source_of(path)
            table.add_row(words, f"{numbers[path]:g}", source.kind, source.date or "")
        console.print(table)


def _teraflops(profile: Any) -> str:
    return f"{profile.peak_flops / 1e12:,.0f}"


_COLUMNS: dict[Kind, dict[str, Callable[[Any], str]]] = {
    "models": {
        "weights": lambda m: format_bytes(m.weights_bytes),
        "KV per token": lambda m: format_bytes(m.kv_bytes_per_token),
        "layers": lambda m: str(m.num_hidden_layers),
        "context": lambda m: format_count(m.max_position_embeddings),
    },
    "gpus": {
        "memory": lambda g: format_bytes(g.memory),
        "TFLOPS": _teraflops,
        "HBM": lambda g: format_rate(g.hbm_bandwidth),
        "batch": lambda g: format_count(g.max_num_batched_tokens),
    },
    "hosts": {
        "cores": lambda h: str(h.num_cpus),
        "PCIe": lambda h: format_rate(h.pcie_bandwidth),
        "load": lambda h: format_rate(h.load.bandwidth),
        "store": lambda h: format_rate(h.store.bandwidth),
    },
    "storage": {
        "medium": lambda s: str(s.medium),
        "read": lambda s: format_rate(s.read.bandwidth),
        "write": lambda s: format_rate(s.write.bandwidth),
        "latency": lambda s: format_seconds(
            s.read.latency if s.medium == "file" else s.read.first_byte
        ),
    },
}
