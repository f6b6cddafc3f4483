"""The page of `kvsim sensitivity`."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from kvsim.plan.sensitivity import STEPS
from kvsim.report.charts.metrics import metric_of
from kvsim.report.charts.sweeps import tornado
from kvsim.report.html import Cell, Page
from kvsim.text import change_text, value_text


def sensitivity_words(rows: pd.DataFrame, metric: str) -> str:
    """Say in a sentence which input moves the metric most, and which hardly do."""
    shown = metric_of(metric)
    known = rows.dropna(subset=["low", "high", "base"])
    if known.empty:
        return f"No input can be moved, or nothing is known of {shown.name}."
    values = known[["low", "high", "base"]]
    span = values.max(axis=1) - values.min(axis=1)
    first = known.iloc[int(span.to_numpy().argmax())]
    base = float(first["base"])
    text = (
        f"What moves {shown.name} ({value_text(base)} {shown.unit}) most is {first['what']}: "
        f"{value_text(first['low'])} at {first['low_value']}, "
        f"{value_text(first['high'])} at {first['high_value']}."
    )
    still = [str(what) for what in known.loc[span <= 0.02 * abs(base), "what"]]
    if still:
        text += f" Hardly anything changes with {', '.join(still)}."
    return text


def sensitivity_page(data: Mapping[str, Any]) -> Page:
    """Draw how far each input moves a metric (what the command prints with --json)."""
    rows = pd.DataFrame(data["rows"])
    metric = str(data["metric"])
    page = Page(f"What moves {metric_of(metric).name}: {data['scenario']}")
    page.paragraph(sensitivity_words(rows, metric), "lead")
    page.paragraph(
        "One input at a time, everything else as described, the same seed in every run.", "soft"
    )
    if rows[["low", "high"]].notna().all(axis=1).any():
        page.charts(tornado(rows, metric))
    page.table(
        [
            "input",
            "what it is",
            *(Cell(name, "num") for name in ("down", "result", "change", "up", "result", "change")),
            "remark",
        ],
        [
            [
                row["what"],
                STEPS[row["what"]][0] if row["what"] in STEPS else "",
                *(
                    Cell(text, "num")
                    for end in ("low", "high")
                    for text in (row[f"{end}_value"], *_result(row[end], row["base"]))
                ),
                remark(row),
            ]
            for row in rows.to_dict("records")
        ],
    )
    return page


def remark(row: Mapping[Any, Any]) -> str:
    """Say what to mind: an end that could not be run, or does not keep up."""
    fallen = [
        f"{row[f'{end}_value']} does not keep up"
        for end in ("low", "high")
        if row[end] == row[end] and row[end] is not None and not row[f"{end}_stable"]
    ]
    return "; ".join(filter(None, [str(row["note"] or ""), *fallen]))


def _result(value: float | None, base: float) -> tuple[str, str]:
    if value is None or value != value:
        return "-", "-"
    return value_text(value), change_text(value / base - 1, 1) if base else "-"
