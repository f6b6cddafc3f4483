"""Tables of `kvsim trace`, narrow enough for a terminal of 80 columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from kvsim.cli.tables import plain_table
from kvsim.text import percent, value_text
from kvsim.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from kvsim.spec.synthetic_workload import AnySyntheticSpec
    from kvsim.workload.trace_hits import Hits, References

MAX_DAMAGED_SHOWN = 10
COLUMNS = ("mean", "p50", "p90", "p95", "p99", "max")


def print_info(summary: Mapping[str, Any], kv_bytes_per_token: int | None) -> None:
    """Print what `summarise_trace` found."""
    console = Console()
    console.print(_counts(summary, kv_bytes_per_token))
    lengths = {f"{name} tokens": row for name, row in summary["lengths"].items()}
    if summary["turns"] is not None:
        lengths["turns per session"] = summary["turns"]
    console.print(_distributions("lengths", lengths, format_count))
    if summary["gaps_s"]:
        console.print(_distributions("gaps", summary["gaps_s"], format_seconds, last="cv"))
    if summary["lru"]:
        reuse = {"distance in tokens": summary["reuse_distance_tokens"]}
        table = _distributions("reuse, by reused token", reuse, format_count, columns=COLUMNS[1:5])
        if summary["times"] != "none":
            cells = [
                _cell(summary["reuse_idle_s"].get(name), format_seconds) for name in COLUMNS[1:5]
            ]
            table.add_row("time since last use", *cells)
        console.print(table)
        console.print(_lru(summary, kv_bytes_per_token))
    if len(summary["windows"]) > 1:
        console.print(_windows(summary, kv_bytes_per_token))
    for note in summary["notes"]:
        typer.echo(f"note: {note}")
    for where, why in summary["damaged"][:MAX_DAMAGED_SHOWN]:
        typer.echo(f"damaged: {where}: {why}")
    hidden = len(summary["damaged"]) - MAX_DAMAGED_SHOWN
    if hidden > 0:
        typer.echo(f"damaged: and {hidden} more (--json names all)")


def print_spec(spec: "AnySyntheticSpec") -> None:
    """Print the numbers of a made-up workload with what they mean."""
    table = plain_table(f"workload: {spec.kind}")
    table.add_column("key", no_wrap=True)
    table.add_column("value", justify="right")
    table.add_column("meaning")
    own = [name for name in type(spec).model_fields if name not in _replay_keys()]
    for name in own:
        value = getattr(spec, name)
        text = " ".join((type(spec).model_fields[name].description or "").split())
        shown = value.model_dump() if hasattr(value, "model_dump") else value
        if isinstance(shown, dict):
            shown = "\n".join(f"{key} {_plain(part)}" for key, part in shown.items())
        table.add_row(name, _plain(shown), text)
    Console().print(table)


def _replay_keys() -> set[str]:
    from kvsim.spec.trace_workload import ReplaySpec

    return {*ReplaySpec.model_fields, "kind"} - {"mode"}


def _plain(value: Any) -> str:
    return f"{value:,.6g}" if isinstance(value, int | float) else str(value)


def _counts(summary: Mapping[str, Any], kv_bytes: int | None) -> Table:
    table = plain_table(f"{summary['name']} ({summary['format']})")
    table.add_column("what")
    table.add_column("value", justify="right")
    rate = summary["requests_per_s"]
    rows = {
        "requests": f"{summary['requests']:,}",
        "sessions": "not known" if summary["sessions"] is None else f"{summary['sessions']:,}",
        "damaged rows, left out": f"{len(summary['damaged']):,}",
        "times": summary["times"],
        "span": format_seconds(summary["span_s"]),
        "requests/s": value_text(rate),
        "prompt tokens": format_count(summary["prompt_tokens"]),
        "answer tokens": format_count(summary["output_tokens"]),
        "tokens of one hash id": str(summary["hash_tokens"] or "no ids"),
        "distinct prompt tokens": _size(summary["distinct_tokens"], kv_bytes),
        "ideal hit rate (endless cache)": percent(summary["ideal_hit_rate"]),
    }
    if summary["distinct_blocks"] is not None:
        rows["distinct blocks"] = f"{summary['distinct_blocks']:,}"
    for what, value in rows.items():
        table.add_row(what, value)
    return table


def _distributions(
    title: str,
    rows: Mapping[str, Mapping[str, float | None]],
    show: Any,
    *,
    columns: tuple[str, ...] = COLUMNS,
    last: str | None = None,
) -> Table:
    table = plain_table(title)
    table.add_column("", no_wrap=True)
    for column in (*columns, *([last] if last else [])):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        cells = [_cell(row.get(column), show) for column in columns]
        if last:
            cells.append(_cell(row.get(last), value_text))
        table.add_row(name, *cells)
    return table


def _lru(summary: Mapping[str, Any], kv_bytes: int | None) -> Table:
    table = plain_table("hit rate of one LRU cache")
    table.add_column("size", justify="right")
    table.add_column("hit rate", justify="right")
    for row in summary["lru"]:
        table.add_row(_size(row["capacity_tokens"], kv_bytes), percent(row["hit_rate"]))
    return table


def _windows(summary: Mapping[str, Any], kv_bytes: int | None) -> Table:
    table = plain_table("over time")
    for column in ("from", "requests", "prompt tokens", "ideal hits", "working set", "seen so far"):
        table.add_column(column, justify="right")
    for row in summary["windows"]:
        table.add_row(
            format_seconds(row["start_s"]),
            f"{row['requests']:,}",
            format_count(row["prompt_tokens"]),
            percent(row["ideal_hit_rate"]),
            _size(row["working_set_tokens"], kv_bytes),
            _size(row["seen_tokens"], kv_bytes),
        )
    return table


def _size(tokens: int, kv_bytes: int | None) -> str:
    return format_count(tokens) if kv_bytes is None else format_bytes(tokens * kv_bytes)


def _cell(value: float | None, show: Any) -> str:
    return "-" if value is None else str(show(value))


def print_hits(
    name: str,
    asked: "References",
    found: "Sequence[Hits]",
    more: Mapping[int, int],
    kv_bytes_per_token: int | None,
) -> None:
    """Print hits by size and policy; `more` is what one more TB adds under LRU."""
    table = plain_table(f"{Path(name).name}: hits without time, chunks of {asked.chunk_tokens}")
    for column in ("size", "policy", "hit tokens", "hit rate"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    if more:
        table.add_column("1 TB more adds", justify="right")
    for size in dict.fromkeys(hits.capacity_chunks for hits in found):
        tokens = size * asked.chunk_tokens
        shown = f"{format_count(tokens)} tokens"
        if kv_bytes_per_token:
            shown = format_bytes(tokens * kv_bytes_per_token)
        for hits in (one for one in found if one.capacity_chunks == size):
            added = [f"{format_count(more[size])} tokens"] if hits.policy == "lru" and more else []
            cells = (shown, hits.policy, f"{hits.hit_tokens:,}", f"{hits.rate:.2%}")
            table.add_row(*cells, *added)
            shown = ""
        table.add_section()
    Console().print(table)
