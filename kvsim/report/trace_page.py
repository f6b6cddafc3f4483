"""The page of a trace: how far apart uses of the same KV are, and what capacity is worth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from kvsim.plan.reuse import knee
from kvsim.report.charts.capacity import TB, marginal_saving
from kvsim.report.charts.tiers import age_at_hit_and_eviction, reuse_distance, working_set
from kvsim.report.html import Cell, Page
from kvsim.text import percent
from kvsim.units import format_bytes, format_count, format_seconds
from kvsim.workload.trace_hits import Ages, ages, references
from kvsim.workload.trace_stats import Reuse, windows
from kvsim.workload.trace_summary import NAMES
from kvsim.workload.traces.trace import Trace

SIZES: Final = 48
MOST_REFERENCES: Final = 5_000_000
"""Chunk references up to which ages are measured: some seconds."""
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
    write = _Sizes(kv_bytes_per_token)
    curve = _lru_curve(trace, reuse)
    middle = (reuse.newer_blocks + reuse.blocks / 2) * reuse.unit_tokens
    figures = [
        reuse_distance(
            middle,
            reuse.tokens,
            prompt_tokens=summary["prompt_tokens"],
            kv_bytes_per_token=kv_bytes_per_token,
            knee_tokens=_knee_tokens(curve),
        ),
        working_set(windows(trace, reuse), kv_bytes_per_token=kv_bytes_per_token),
    ]
    if kv_bytes_per_token and len(curve):
        sizes = curve.assign(capacity_bytes=curve["capacity_tokens"] * kv_bytes_per_token)
        figures.append(marginal_saving(sizes))
    return TraceStory(
        _words(summary, curve, write), figures, *_ages(trace, reuse, _knee_tokens(curve), write)
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
    page.charts(*story.figures[:2])
    page.charts(*story.figures[2:])
    if story.age_figures:
        page.heading("How old chunks are when they are hit, and when they are evicted")
    for sentence in story.age_words:
        page.paragraph(sentence)
    if story.age_figures:
        page.charts(*story.age_figures)
    _tables(page, summary, _Sizes(kv_bytes_per_token))
    return page


class _Sizes:
    """Write sizes as bytes of a model's KV cache, or as tokens where no model is named."""

    def __init__(self, kv_bytes_per_token: int | None) -> None:
        self.kv_bytes_per_token = kv_bytes_per_token

    def __call__(self, tokens: float) -> str:
        if self.kv_bytes_per_token:
            return format_bytes(int(tokens * self.kv_bytes_per_token))
        return f"{format_count(int(tokens))} tokens"


def _lru_curve(trace: Trace, reuse: Reuse) -> pd.DataFrame:
    """Return the hit rate of one least-recently-used cache at sizes up to all there is."""
    total = int(trace.prompt_tokens.sum())
    most = int(reuse.new_blocks.sum())
    if not reuse.blocks.size or most < 2:
        return pd.DataFrame(columns=["capacity_tokens", "hit_rate"])
    blocks = np.unique(np.geomspace(1, most, SIZES).round().astype(np.int64))
    rows = [
        (size * reuse.unit_tokens, reuse.lru_hit_tokens(size) / total) for size in blocks.tolist()
    ]
    return pd.DataFrame(rows, columns=["capacity_tokens", "hit_rate"])


def _knee_tokens(curve: pd.DataFrame) -> int | None:
    if curve.empty:
        return None
    found = knee(curve["capacity_tokens"].tolist(), curve["hit_rate"].tolist())
    return None if found is None else int(curve["capacity_tokens"].iloc[found])


def _words(summary: Mapping[str, Any], curve: pd.DataFrame, write: _Sizes) -> list[str]:
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
        rate = float(np.interp(at, curve["capacity_tokens"], curve["hit_rate"]))
        said.append(
            f"One LRU cache of {write(at)} finds {percent(rate)}; beyond that knee more capacity "
            "brings less than on average."
        )
        if write.kv_bytes_per_token:
            more = at + TB / write.kv_bytes_per_token
            gain = float(np.interp(more, curve["capacity_tokens"], curve["hit_rate"])) - rate
            saved = gain * summary["prompt_tokens"]
            said.append(
                f"One more TB there would save computing {format_count(round(saved))} tokens, "
                f"{percent(gain)} of all."
            )
    return said


def _ages(
    trace: Trace, reuse: Reuse, at: int | None, write: _Sizes
) -> tuple[list[str], list[go.Figure]]:
    """Draw the ages at the knee and at a quarter of it, where times and hash ids tell them."""
    if at is None or trace.clock != "trace" or not trace.hash_tokens:
        return [], []
    if int(trace.hashed_tokens().sum()) > MOST_REFERENCES * trace.hash_tokens:
        too_long = (
            "Ages at hits and evictions are left out: the trace is too long to follow each chunk; "
            "cut it with kvsim trace convert --window."
        )
        return [too_long], []
    asked = references(trace)
    words, figures = [], []
    for size in (at // 4, at):
        found = ages(trace, asked, max(1, size // asked.chunk_tokens))
        figures.append(age_at_hit_and_eviction(found, write(size)))
        words.append(f"With {write(size)}: {_lost(found, reuse)}")
    return words, figures


def _lost(found: Ages, reuse: Reuse) -> str:
    """Say how much comes back only after it has gone: the hits of a cache show none of it."""
    if not found.at_eviction_s.size:
        return "nothing is evicted."
    evicted_s = float(np.median(found.at_eviction_s))
    later = float(reuse.tokens[reuse.idle_s > evicted_s].sum() / reuse.tokens.sum())
    kept = format_seconds(evicted_s)
    return (
        f"chunks go after {kept} without use (median); {percent(later)} of all tokens that are "
        "asked for again come back later than that."
    )


def _tables(page: Page, summary: Mapping[str, Any], write: _Sizes) -> None:
    page.heading("Lengths and gaps")
    lengths = {f"{name}, tokens": row for name, row in summary["lengths"].items()}
    if summary["turns"] is not None:
        lengths["turns of a session"] = summary["turns"]
    _distribution(page, lengths, format_count)
    if summary["gaps_s"]:
        _distribution(page, summary["gaps_s"], format_seconds)
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
