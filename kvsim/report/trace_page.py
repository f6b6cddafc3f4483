"""The page of a trace: how far apart uses of the same KV are, and what capacity is worth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from kvsim.plan.reuse import knee
from kvsim.report.charts.tiers import working_set
from kvsim.report.html import Cell, Page
from kvsim.report.reuse_section import (
    Sizes,
    add_ages,
    ages_told,
    lru_curve,
    one_more_tb,
    rate_at,
    reuse_chart,
    saving_charts,
)
from kvsim.text import percent
from kvsim.units import format_count, format_seconds
from kvsim.workload.trace_stats import Reuse, windows
from kvsim.workload.trace_summary import NAMES
from kvsim.workload.traces.trace import Trace

_COLUMNS: Final = ("mean", *NAMES, "max")


@dataclass(frozen=True)
class TraceStory:
    """What a trace says about caches, in sentences and charts."""

    words: list[str]
    """The first one stands for all."""
    figures: list[go.Figure]
    age_words: list[str]
    age_figures: list[go.Figure]


def trace_story(
    trace: Trace,
    reuse: Reuse,
    summary: Mapping[str, Any],
    *,
    kv_bytes_per_token: int | None = None,
) -> TraceStory:
    """Tell what `summarise_trace` found: reuse, working set, what capacity is worth, ages."""
    write = Sizes(kv_bytes_per_token)
    curve = lru_curve(reuse, summary["prompt_tokens"])
    at = _knee_tokens(curve)
    figures = [
        reuse_chart(reuse, summary["prompt_tokens"], write, knee_tokens=at),
        working_set(windows(trace, reuse), kv_bytes_per_token=kv_bytes_per_token),
        *saving_charts(curve, write),
    ]
    sizes = [] if at is None else [at // 4, at]
    return TraceStory(
        _words(summary, curve, write), figures, *ages_told(trace, reuse, sizes, write)
    )


def trace_page(
    trace: Trace,
    reuse: Reuse,
    summary: Mapping[str, Any],
    *,
    kv_bytes_per_token: int | None = None,
) -> Page:
    """Lay out a trace's story and its tables."""
    page = Page(f"Trace {Path(trace.name).name}")
    story = trace_story(trace, reuse, summary, kv_bytes_per_token=kv_bytes_per_token)
    for place, sentence in enumerate(story.words):
        page.paragraph(sentence, "" if place else "lead")
    page.charts(*story.figures)
    add_ages(page, story.age_words, story.age_figures)
    _tables(page, summary, Sizes(kv_bytes_per_token))
    return page


def _knee_tokens(curve: pd.DataFrame) -> int | None:
    if curve.empty:
        return None
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
