"""The report of a search: the best designs, the frontier, and why the others are out."""

from collections.abc import Sequence
from typing import Final

import pandas as pd

from kvsim.report.charts import sweeps
from kvsim.report.charts.metrics import METRICS, metric_of
from kvsim.report.html import Cell, Page

OUT: Final = {"feasible", "excluded_reason", "pareto"}
COST: Final = ("usd_per_million_tokens", "usd_per_million_output_tokens", "usd_per_hour")
_FELT: Final = ("ttft_s_p99", "ttft_s_mean", "finished_per_s")


def search_page(trials: pd.DataFrame, name: str) -> Page:
    """Lay out a table of designs that were tried.

    Columns up to `feasible` are the design and the objectives; what else there is is drawn if it
    is known: costs, waits, speeds.
    """
    head = [str(column) for column in trials.columns]
    head = head[: head.index("feasible")] if "feasible" in head else head
    goals = [column for column in head if column in METRICS]
    design = [column for column in head if column not in METRICS and column != "trial"]
    allowed = trials[trials["feasible"].astype(bool)] if "feasible" in trials else trials
    page = Page(f"Search {name}")
    _words(page, trials, allowed, goals, design)
    named = trials.assign(design=_designs(trials, design))
    colour = next((column for column in COST if column in trials), None)
    pairs = _pairs([*goals, *(column for column in _FELT if column in trials)])
    page.charts(*(sweeps.pareto(named, x=x, y=y, colour=colour, name="design") for x, y in pairs))
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
            [*design, "reason"],
            [
                [*(str(row[key]) for key in design), str(row["excluded_reason"])]
                for row in excluded.to_dict("records")
            ],
        )
    return page


def _words(
    page: Page,
    trials: pd.DataFrame,
    allowed: pd.DataFrame,
    goals: Sequence[str],
    design: Sequence[str],
) -> None:
    if allowed.empty:
        page.paragraph(f"None of the {len(trials):,} designs does it.", "lead")
        return
    if goals:
        goal = metric_of(goals[0])
        order = allowed.sort_values(goals[0], ascending=goal.lower_is_better, kind="stable")
        best = order.iloc[0]
        words = ", ".join(f"{key} {best[key]}" for key in design)
        page.paragraph(
            f"Best in {goal.name}: {best[goals[0]]:.4g} {goal.unit} with {words}.", "lead"
        )
    page.paragraph(
        f"{len(allowed):,} of {len(trials):,} designs do it; "
        f"{len(trials) - len(allowed):,} are excluded, each with its reason below."
    )


def _designs(trials: pd.DataFrame, design: Sequence[str]) -> list[str]:
    return [
        ", ".join(f"{key.rpartition('.')[2]} {row[key]}" for key in design)
        for row in trials.to_dict("records")
    ]


def _pairs(columns: Sequence[str]) -> list[tuple[str, str]]:
    """Pair the first goal with the others, twice at most."""
    unique = list(dict.fromkeys(columns))
    return [(unique[0], other) for other in unique[1:3]]


def _table(page: Page, rows: pd.DataFrame, design: Sequence[str], shown: Sequence[str]) -> None:
    page.table(
        [*design, *(Cell(metric_of(column).title, "num") for column in shown)],
        [
            [
                *(str(row[key]) for key in design),
                *(Cell(f"{row[column]:,.4g}", "num") for column in shown),
            ]
            for row in rows.to_dict("records")
        ],
    )
