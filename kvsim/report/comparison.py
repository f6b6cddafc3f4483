"""The page of a comparison: a measured run beside its simulation, a chart for each view."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from kvsim.calibration.compare import SHARES, Metrics
from kvsim.calibration.comparison import TIERS, Comparison, Distribution
from kvsim.report import style
from kvsim.report.confidence_section import run_confidence
from kvsim.report.html import Cell, Page
from kvsim.text import value_text

SIDES: Final = {"measured": style.HBM, "simulated": style.AGAIN}
_TIERS: Final = {
    "hit_tokens_hbm": ("HBM", style.HBM),
    "hit_tokens_cpu": ("CPU memory", style.CPU),
    "hit_tokens_remote": ("shared tier", style.OBJECT_STORE),
    "computed_tokens": ("computed", style.FIRST),
}
_QUANTITIES: Final = {
    "ttft_s": ("Time to first token", "seconds (log scale)", True),
    "decode_tokens_per_s": ("Decode throughput per request", "tokens per second", False),
}


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write one HTML file that needs no network."""
    comparison_page(comparison).write(path)


def comparison_figures(comparison: Comparison) -> list[go.Figure]:
    """Draw every view of a comparison."""
    return [
        metric_errors(comparison.metrics),
        *(distribution(name, found) for name, found in comparison.distributions.items()),
        *(tiers(comparison.tiers_by_round, side) for side in SIDES),
        step_bins(comparison.step_errors),
        *(load(comparison.load, state) for state in ("running", "waiting")),
    ]


def comparison_page(comparison: Comparison) -> Page:
    """Lay out metrics, distributions, tiers, step time and load."""
    page = Page(f"{comparison.name}: measured and simulated")
    page.heading("Metrics")
    page.charts(metric_errors(comparison.metrics))
    number = [Cell(name, "num") for name in ("measured", "simulated", "error")]
    page.table(
        ["metric", *number],
        [
            [
                name,
                Cell(value_text(row["measured"]), "num"),
                Cell(value_text(row["simulated"]), "num"),
                Cell(error_text(name, row), "num"),
            ]
            for name, row in comparison.metrics.items()
        ],
        "Errors are relative; of shares, and where the measured value is 0, the difference.",
    )
    page.heading("Distributions over requests")
    page.charts(*(distribution(name, d) for name, d in comparison.distributions.items()))
    for name, found in comparison.distributions.items():
        page.table(
            ["quantile", *number],
            [
                [
                    f"p{100 * line['level']:g}",
                    Cell(value_text(float(line["measured"])), "num"),
                    Cell(value_text(float(line["simulated"])), "num"),
                    Cell(f"{line['error']:+.1%}", "num"),
                ]
                for line in found.quantiles.to_dict("records")
            ],
            f"{_QUANTITIES[name][0]}; Kolmogorov-Smirnov distance {value_text(found.distance)}.",
        )
    page.heading("Where the prompt tokens came from, by round")
    page.charts(*(tiers(comparison.tiers_by_round, side) for side in SIDES))
    page.heading("Step time")
    page.paragraph(
        "The roofline against the measured GPU-bound steps of this run, by batch and context of "
        "the decodes; each bin is named by its lower edge.",
        "soft",
    )
    page.charts(step_bins(comparison.step_errors))
    page.table(
        [
            "steps",
            Cell("batch from", "num"),
            Cell("context from", "num"),
            Cell("stretches", "num"),
            Cell("median error", "num"),
            Cell("median absolute error", "num"),
        ],
        [
            [
                "with prefill" if line["has_prefill"] else "decode only",
                Cell(f"{line['batch']:,}", "num"),
                Cell(f"{line['context']:,}", "num"),
                Cell(f"{line['stretches']:,}", "num"),
                Cell(f"{line['median_error']:+.2%}", "num"),
                Cell(f"{line['median_absolute_error']:.2%}", "num"),
            ]
            for line in comparison.step_errors.to_dict("records")
        ],
    )
    page.heading("Load over the run")
    page.charts(*(load(comparison.load, state) for state in ("running", "waiting")))
    run_confidence(page, comparison.confidence, comparison.basis)
    return page


def metric_errors(metrics: Metrics) -> go.Figure:
    """Draw the error of every metric as a bar."""
    rows = [(name, row["error"]) for name, row in metrics.items() if row["error"] is not None]
    relative = [
        (name, error) for name, error in rows if name in SHARES or metrics[name]["measured"]
    ]
    figure = go.Figure()
    figure.add_bar(
        x=[100 * error for _, error in relative],
        y=[name for name, _ in relative],
        orientation="h",
        marker={"color": style.AGAIN, "line": {"width": 0}},
        hovertemplate="%{y}: %{x:+.2f} %<extra></extra>",
        showlegend=False,
    )
    height = 120 + 22 * len(relative)
    style.layout(figure, title="Errors of the simulation", x="%", y="", height=height)
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


def distribution(name: str, found: Distribution) -> go.Figure:
    """Draw the share of requests up to a value, for both sides."""
    title, axis, log = _QUANTITIES[name]
    figure = go.Figure()
    for side, values in (("measured", found.measured), ("simulated", found.simulated)):
        figure.add_scatter(
            x=values,
            y=100 * np.arange(1, len(values) + 1) / max(len(values), 1),
            name=f"{side} ({len(values):,})",
            mode="lines",
            line={"color": SIDES[side], "width": 2.5, "shape": "hv", "dash": _dash(side)},
            hovertemplate="%{y:.0f} % up to %{x:.4g}",
        )
    style.layout(figure, title=title, x=axis, y="% of requests")
    figure.update_layout(hovermode="closest")
    if log:
        style.log_axis(figure, "x", np.concatenate([found.measured, found.simulated]))
    figure.update_yaxes(range=[0, 100])
    return figure


def tiers(table: pd.DataFrame, side: str) -> go.Figure:
    """Stack one side's prompt tokens of each round by where they came from, in shares."""
    rows = table[table["side"] == side]
    total = rows[list(TIERS)].sum(axis=1).clip(lower=1)
    figure = go.Figure()
    for column, (name, colour) in _TIERS.items():
        figure.add_bar(
            x=rows["round_index"],
            y=100 * rows[column] / total,
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate="%{y:.2f} %",
        )
    style.layout(figure, title=side.capitalize(), x="round", y="% of prompt tokens")
    figure.update_layout(barmode="stack", bargap=0.15)
    figure.update_yaxes(range=[0, 100])
    return figure


def step_bins(table: pd.DataFrame) -> go.Figure:
    """Draw the median step-time error of each bin as a dot as large as the bin is full."""
    figure = go.Figure()
    for has_prefill, name in ((False, "decode only"), (True, "with prefill")):
        rows = table[table["has_prefill"] == has_prefill]
        figure.add_scatter(
            x=[f"{batch:,} / {context:,}" for batch, context in rows[["batch", "context"]].values],
            y=100 * rows["median_error"],
            name=name,
            mode="markers",
            marker={
                "size": 6 + 3 * np.log10(rows["stretches"].to_numpy(dtype=float)),
                "symbol": "diamond" if has_prefill else "circle",
                "color": style.CPU if has_prefill else style.HBM,
            },
            customdata=rows["stretches"],
            hovertemplate="%{y:+.2f} % over %{customdata} stretches",
        )
    style.layout(figure, title="Median error of step time", x="batch / context from", y="%")
    figure.update_xaxes(type="category")
    return figure


def load(table: pd.DataFrame, state: str) -> go.Figure:
    """Draw how many requests are running, or waiting, over time."""
    figure = go.Figure()
    for side, colour in SIDES.items():
        figure.add_scatter(
            x=table["time_s"],
            y=table[f"{state}_{side}"],
            name=side,
            mode="lines",
            line={"color": colour, "width": 2, "shape": "hv", "dash": _dash(side)},
            hovertemplate="%{y}",
        )
    style.layout(figure, title=f"Requests {state}", x="time, s", y="requests")
    figure.update_yaxes(rangemode="tozero")
    return figure


def error_text(name: str, row: dict[str, float | None]) -> str:
    """Write an error in percent, or as a plain difference where the measured value is 0."""
    error = row["error"]
    if error is None:
        return "-"
    if row["measured"] or name in SHARES:
        return f"{error:+.2%}"
    return f"{error:+.4g}"


def _dash(side: str) -> str:
    return "solid" if side == "measured" else "dot"
