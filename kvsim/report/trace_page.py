"""The page of a trace: how far apart uses of the same KV are, and what capacity is worth."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from kvsim.plan.reuse import knee
from kvsim.report.charts.tiers import working_set
from kvsim.report.html import Cell, Page
from kvsim.report.reuse_section import (
    Sizes,
    ages_section,
    lru_curve,
    one_more_tb,
    rate_at,
    reuse_chart,
    saving_charts,
)
from kvsim.report.text import percent
from kvsim.units import format_count, format_seconds
from kvsim.workload.trace_stats import Reuse, windows
from kvsim.workload.trace_summary import NAMES
from kvsim.workload.traces.trace import Trace

_COLUMNS: Final = ("mean", *NAMES, "max")


def trace_page(
    trace: Trace,
    reuse: Reuse,
    summary: Mapping[str, Any],
    *,
    kv_bytes_per_token: int | None = None,
) -> Page:
    """Lay out what `summarise_trace` found, and the charts of reuse, working set and ages."""
    page = Page(f"Trace {Path(trace.name).name}")
    write = Sizes(kv_bytes_per_token)
    curve = lru_curve(reuse, summary["prompt_tokens"])
    for place, sentence in enumerate(_words(summary, curve, write)):
        page.paragraph(sentence, "" if place else "lead")
    page.charts(
        reuse_chart(reuse, summary["prompt_tokens"], write),
        working_set(windows(trace, reuse), kv_bytes_per_token=kv_bytes_per_token),
        *saving_charts(curve, write),
    )
    at = _knee_tokens(curve) if len(curve) else None
    if at is not None:
        ages_section(page, trace, reuse, [at // 4, at], write)
    _tables(page, summary, write)
    return page


def _knee_tokens(curve: pd.DataFrame) -> int | None:
    found = knee(curve["capacity_tokens"].tolist(), curve["hit_rate"].tolist())
    return None if found is None else int(curve["capacity_tokens"].iloc[found])


def _words(summary: Mapping[str, Any], curve: pd.DataFrame, write: Sizes) -> list[str]:
    ideal = summary["ideal_hit_rate"]
    said = [
        f"{summary['requests']:,} requests ask for {format_count(summary['prompt_tokens'])} prompt "
        f"tokens; an endless cache would find {percent(ideal)} of them, and it would come to hold "
        f"{write(summary['distinct_tokens'])}."
    ]
    if curve.empty:
        return [*said, "No prompt repeats an earlier one, so no cache helps."]
    at = _knee_tokens(curve)
    if at is not None:
        said.append(
            f"One LRU cache of {write(at)} finds {percent(rate_at(curve, at))}; beyond that knee "
            "more capacity brings less than on average."
        )
        if write.kv_bytes_per_token:
            said.append(one_more_tb(curve, at, summary["prompt_tokens"], write.kv_bytes_per_token))
    return said


def _tables(page: Page, summary: Mapping[str, Any], write: Sizes) -> None:
    page.heading("Lengths and gaps")
    lengths = {f"{name}, tokens": row for name, row in summary["lengths"].items()}
    if summary["turns"] is not None:
        lengths["turns of a session"] = summary["turns"]
    _distribution(page, lengths, lambda value: f"{value:,.0f}")
    if summary["gaps_s"]:
        _distribution(page, summary["gaps_s"], lambda s: format_seconds(float(f"{s:.3g}")))
    if len(summary["windows"]) > 1:
        page.heading("Over time")
        headings = ("from", "requests", "prompt tokens", "ideal hits", "working set", "seen so far")
        page.table(
            [Cell(heading, "num") for heading in headings],
            [
                [
                    Cell(text, "num")
                    for text in (
                        format_seconds(row["start_s"]),
                        f"{row['requests']:,}",
                        format_count(row["prompt_tokens"]),
                        percent(row["ideal_hit_rate"]),
                        write(row["working_set_tokens"]),
                        write(row["seen_tokens"]),
                    )
                ]
                for row in summary["windows"]
            ],
        )
    notes = [*summary["notes"], *(f"{where}: {why}" for where, why in summary["damaged"])]
    if notes:
        page.heading("Notes and damaged rows")
        page.table(["note"], [[note] for note in notes])


def _distribution(
    page: Page, rows: Mapping[str, Mapping[str, float | None]], show: Callable[[float], str]
) -> None:
    page.table(
        ["", *(Cell(column, "num") for column in _COLUMNS)],
        [[name, *_cells(row, _COLUMNS, show)] for name, row in rows.items()],
    )


def _cells(
    row: Mapping[str, float | None], columns: Sequence[str], show: Callable[[float], str]
) -> list[Cell]:
    values = [row.get(column) for column in columns]
    return [Cell("-" if value is None else show(value), "num") for value in values]
