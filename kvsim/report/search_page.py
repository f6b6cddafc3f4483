"""The report of a search: the best designs, the frontier, and why the others are out."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from kvsim.report.charts import sweeps
from kvsim.report.charts.metrics import METRICS, metric_of
from kvsim.report.html import Cell, Page
from kvsim.text import value_text
from kvsim.units import format_bytes

COST: Final = ("usd_per_million_tokens", "usd_per_million_output_tokens", "usd_per_hour")
_FELT: Final = ("ttft_s_p99", "ttft_s_mean", "finished_per_s", "decode_tokens_per_s_mean")


def search_page(
    trials: pd.DataFrame, name: str, described: Mapping[str, Any] | None = None
) -> Page:
    """Lay out a table of designs that were tried.

    Columns up to `feasible` are the design and the objectives; what else there is is drawn if it
    is known: costs, waits, speeds. `described` may hold the search's own `verdict` and `notes`.
    """
    head = [str(column) for column in trials.columns]
    head = head[: head.index("feasible")] if "feasible" in head else head
    goals = [column for column in head if column in METRICS]
    design = [column for column in head if column not in METRICS and column != "trial"]
    trials = _readable(trials, design)
    allowed = trials[trials["feasible"].astype(bool)] if "feasible" in trials else trials
    page = Page(f"Search {name}")
    said = (described or {}).get("verdict") or _verdict(trials, allowed, goals, design)
    for place, sentence in enumerate(said):
        page.paragraph(str(sentence), "" if place else "lead")
    page.paragraph(
        f"{len(allowed):,} of {len(trials):,} designs do it; "
        f"{len(trials) - len(allowed):,} are excluded, each with its reason below."
    )
    for note in (described or {}).get("notes", ()):
        page.paragraph(f"Note: {note}.", "soft")
    figures = frontier_figures(trials.assign(design=_designs(trials, design)), goals)
    if figures:
        page.charts(*figures)
    front = allowed[allowed["pareto"].astype(bool)] if "pareto" in allowed else allowed
    shown = [*goals, *(column for column in _FELT if column in trials and column not in goals)]
    page.heading("Designs that nothing beats")
    _table(page, front, design, shown)
    page.heading("All designs that do it")
    _table(page, allowed, design, shown)
    if "excluded_reason" in trials:
        excluded = trials.drop(index=allowed.index)
        page.heading(f"Excluded designs ({len(excluded):,}), with the reason")
        page.table(
            [*map(_short, design), "reason"],
            [
                [*(str(row[key]) for key in design), str(row["excluded_reason"])]
                for row in excluded.to_dict("records")
            ],
        )
    return page


def _readable(trials: pd.DataFrame, design: Sequence[str]) -> pd.DataFrame:
    """Write sizes in bytes with their unit, and no value as none."""
    written = {}
    for key in design:
        values = trials[key].tolist()
        is_size = key.endswith(".capacity") and pd.api.types.is_numeric_dtype(trials[key])
        written[key] = [
            "none"
            if pd.isna(value) or (is_size and value == 0)
            else format_bytes(int(value))
            if is_size
            else f"{value:g}"
            if isinstance(value, float)
            else value
            for value in values
        ]
    return trials.assign(**written)


def frontier_figures(named: pd.DataFrame, goals: Sequence[str]) -> list[go.Figure]:
    """Draw the goals against each other or the wait, then output a GPU against what users feel.

    `named` is the table of designs with the column `design`, which hovering shows.
    """
    colour = next((column for column in COST if column in named), None)
    columns = list(dict.fromkeys([*goals, *(column for column in _FELT if column in named)]))
    pairs = [(columns[0], other) for other in columns[1:2]]
    if {"output_tokens_per_s", "gpus", "decode_tokens_per_s_mean"} <= set(named.columns):
        named = named.assign(
            tokens_per_s_per_gpu=named["output_tokens_per_s"] / named["gpus"],
            tokens_per_s_per_user=named["decode_tokens_per_s_mean"],
        )
        pairs += [("tokens_per_s_per_user", "tokens_per_s_per_gpu")]
        pairs += [("ttft_s_p99", "tokens_per_s_per_gpu")] if "ttft_s_p99" in named else []
    return [sweeps.pareto(named, x=x, y=y, colour=colour, name="design") for x, y in pairs]


def _verdict(
    trials: pd.DataFrame, allowed: pd.DataFrame, goals: Sequence[str], design: Sequence[str]
) -> list[str]:
    if allowed.empty:
        return [f"None of the {len(trials):,} designs does it."]
    if not goals:
        return []
    goal = metric_of(goals[0])
    best = allowed.sort_values(goals[0], ascending=goal.lower_is_better, kind="stable").iloc[0]
    words = ", ".join(f"{_short(key)} {best[key]}" for key in design)
    return [f"Best in {goal.name}: {value_text(best[goals[0]])} {goal.unit} with {words}."]


def _short(path: str) -> str:
    """Name a design's key without what all keys of its kind begin with."""
    return path.removeprefix("offload.").removeprefix("engine.").removesuffix(".profile")


def _designs(trials: pd.DataFrame, design: Sequence[str]) -> list[str]:
    return [
        ", ".join(f"{_short(key)} {row[key]}" for key in design)
        for row in trials.to_dict("records")
    ]


def _table(page: Page, rows: pd.DataFrame, design: Sequence[str], shown: Sequence[str]) -> None:
    page.table(
        [*map(_short, design), *(Cell(metric_of(column).title, "num") for column in shown)],
        [
            [
                *(str(row[key]) for key in design),
                *(Cell(value_text(row[column]), "num") for column in shown),
            ]
            for row in rows.to_dict("records")
        ],
    )
