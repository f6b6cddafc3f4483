"""Rich tables of results, narrow enough for a terminal of 80 columns."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from kvsim.report.tenants import fairness_words, tenant_table
from kvsim.text import bytes_text, duration, number, percent, requests_per_s
from kvsim.units import format_count

if TYPE_CHECKING:
    import pandas as pd

TOKEN_SOURCES = {
    "hit_tokens_hbm": "HBM hit",
    "hit_tokens_cpu": "CPU hit",
    "hit_tokens_remote": "remote hit",
    "first_computed_tokens": "computed, first time",
    "recomputed_elsewhere_tokens": "computed again: another instance has it",
    "recomputed_evicted_tokens": "computed again: evicted",
}
"""Where prompt tokens come from; the first four and the last two add up to the prompt tokens."""


def plain_table(title: str) -> Table:
    """Start a table in the one style of this command line."""
    return Table(title=title, title_justify="left", title_style="bold", header_style="bold")


def headline(name: str, summary: Mapping[str, Any], wall_s: float) -> Table:
    """Tabulate what a user of the service feels."""
    speed = summary["simulated_s"] / wall_s if wall_s > 0 else float("inf")
    table = plain_table(
        f"{name}: {summary['simulated_s']:,.0f} s in {wall_s:.2f} s ({speed:,.0f}x)"
    )
    table.add_column("metric")
    table.add_column("value", justify="right")
    rows = {
        "processing speed": requests_per_s(summary["finished_per_s"]),
        "time to first token, mean": duration(summary["ttft_s_mean"]),
        "time to first token, p50 / p95 / p99": " / ".join(
            duration(summary[f"ttft_s_p{quantile}"]) for quantile in (50, 95, 99)
        ),
        "decode throughput, mean per request": (
            f"{number(summary['decode_tokens_per_s_mean'])} tokens/s"
        ),
        "input / output": (
            f"{number(summary['input_tokens_per_s'], 0)} / "
            f"{number(summary['output_tokens_per_s'], 0)} tokens/s"
        ),
        "requests finished": f"{summary['finished']:,}",
        "live sessions, mean / most": (
            f"{number(summary['sessions_mean'])} / {number(summary['sessions_max'], 0)}"
        ),
        "tokens found in a cache": percent(summary["token_hit_rate"]),
    }
    for label, value in rows.items():
        table.add_row(label, value)
    return table


def tokens_by_source(summary: Mapping[str, Any]) -> Table:
    """Tabulate where the prompt tokens came from."""
    again = summary["recomputed_elsewhere_tokens"] + summary["recomputed_evicted_tokens"]
    tokens = {**summary, "first_computed_tokens": summary["computed_tokens"] - again}
    table = plain_table("prompt tokens by source")
    table.add_column("source")
    table.add_column("tokens", justify="right")
    table.add_column("share", justify="right")
    for key, label in TOKEN_SOURCES.items():
        share = tokens[key] / tokens["prompt_tokens"] if tokens["prompt_tokens"] else None
        table.add_row(label, f"{tokens[key]:,}", percent(share))
    return table


def tiers(frame: "pd.DataFrame") -> Table:
    """Tabulate how full each tier was and what it gave."""
    table = plain_table("tiers")
    for column in (
        "instance",
        "tier",
        "capacity",
        "mean used",
        "peak used",
        "hit tokens",
        "evicted",
    ):
        table.add_column(column, justify="left" if column == "tier" else "right")
    for row in frame.to_dict("records"):
        shared = (
            row["instance"] is None or row["instance"] != row["instance"] or row["instance"] < 0
        )
        table.add_row(
            "all" if shared else f"{row['instance']:.0f}",
            str(row["tier"]),
            bytes_text(row["capacity_bytes"]),
            bytes_text(row["mean_used_bytes"]),
            bytes_text(row["peak_used_bytes"]),
            f"{row['hit_tokens']:,.0f}",
            bytes_text(row["evicted_bytes"]),
        )
    return table


def tenants(shared: Mapping[str, Any]) -> Table:
    """Tabulate what each tenant got, with the fairness of it below."""
    rows = tenant_table(shared)
    table = plain_table("tenants")
    for column in rows[0]:
        table.add_column(column, justify="left" if column == "tenant" else "right")
    for row in rows:
        table.add_row(*row.values())
    table.caption = fairness_words(shared)
    table.caption_justify = "left"
    return table


def tenant_tokens(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Tabulate where the prompt tokens of each tenant came from."""
    sources = ("hit_tokens_hbm", "hit_tokens_cpu", "hit_tokens_remote")
    table = plain_table("tenants")
    table.add_column("tenant")
    for column in (
        "requests",
        "prompt tokens",
        *(TOKEN_SOURCES[source] for source in sources),
        "computed",
        "hit rate",
    ):
        table.add_column(column.replace(" ", "\n"), justify="right")
    for row in rows:
        tokens = [row[name] for name in ("prompt_tokens", *sources, "computed_tokens")]
        table.add_row(
            row["tenant"],
            f"{row['finished']:,}",
            *map(format_count, tokens),
            percent(row["token_hit_rate"]),
        )
    return table


def verdict(summary: Mapping[str, Any]) -> str:
    """Say in one line whether the numbers describe a system or only its collapse."""
    if summary["died"]:
        return (
            "[bold red]dead:[/] the engine stopped serving: chunks held by puts fill the CPU tier, "
            "and a read from the remote tier waits for memory that none of them gives back; "
            f"{summary['failed']:,} requests failed"
        )
    if summary["stable"]:
        return "[bold green]stable:[/] completions keep up with arrivals"
    return (
        "[bold yellow]not stable:[/] completions fall behind arrivals; "
        "latencies depend on how long the run lasts"
    )
