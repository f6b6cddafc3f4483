"""The page of a calibration: coefficients with their errors, and residuals by feature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from kvsim.calibration.fit.calibrate import Calibration
from kvsim.calibration.fit.results import Findings, Residuals
from kvsim.report.html import Cell, Page
from kvsim.report.style import layout
from kvsim.text import coefficient_text, percent

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7F7F7F")
_MOST_POINTS = 1_000
"""Points of a chart: as SVG, for a browser keeps only some five charts of WebGL alive."""
_CLIP = 0.3


def write_calibration_report(calibration: Calibration, path: Path) -> None:
    """Write one HTML file that needs no network."""
    calibration_page(calibration).write(path)


def calibration_page(calibration: Calibration) -> Page:
    """Lay out coefficients, remarks, ranges and residuals."""
    spec = calibration.spec
    page = Page(f"Calibration {spec.name}")
    page.paragraph(
        f"{spec.model} on {spec.gpu} with host {spec.host}, from {len(spec.runs)} runs: "
        f"{', '.join(spec.runs)}.",
        "soft",
    )
    page.heading("Coefficients")
    page.table(
        [
            "coefficient",
            Cell("value", "num"),
            Cell("± standard error", "num"),
            Cell("median error", "num"),
            Cell("n", "num"),
            "data",
            "remark",
        ],
        [
            [
                Cell(name, "" if found.identified else "open"),
                Cell(coefficient_text(found.value, found.unit), "num"),
                Cell(
                    "held"
                    if found.standard_error is None
                    else coefficient_text(found.standard_error, found.unit),
                    "num",
                ),
                Cell(percent(found.residual), "num"),
                Cell(f"{found.count:,}", "num"),
                found.data,
                found.note,
            ]
            for name, found in spec.coefficients.items()
        ],
        "Grey: the data do not tell it apart from another coefficient.",
    )
    page.heading("What the data cannot tell")
    page.table(["remark"], [[note] for note in dict.fromkeys(calibration.findings.notes)])
    page.heading("Where it holds")
    page.table(
        ["quantity", Cell("least", "num"), Cell("most", "num")],
        [
            [name, Cell(f"{low:,.0f}", "num"), Cell(f"{high:,.0f}", "num")]
            for name, (low, high) in spec.ranges.items()
        ],
    )
    page.heading("Errors by feature")
    page.paragraph("(measured - fitted) / measured, clipped at 30 %.", "soft")
    for part in calibration.findings.residuals:
        page.charts(*(_scatter(part, feature) for feature in part.features))
    return page


def residual_figures(findings: Findings) -> list[go.Figure]:
    """Draw the errors of each part of the fit over each of its features."""
    return [_scatter(part, feature) for part in findings.residuals for feature in part.features]


def _scatter(part: Residuals, feature: str) -> go.Figure:
    figure = go.Figure()
    x, errors = part.features[feature], np.clip(part.errors, -_CLIP, _CLIP)
    groups = np.array(part.groups)
    step = -(-len(x) // _MOST_POINTS)
    for place, group in enumerate(dict.fromkeys(part.groups)):
        mine = np.flatnonzero(groups == group)[::step]
        figure.add_trace(
            go.Scatter(
                x=x[mine],
                y=errors[mine],
                mode="markers",
                name=group or part.part,
                marker={"size": 5, "opacity": 0.7, "color": _COLOURS[place % len(_COLOURS)]},
            )
        )
    figure = layout(figure, title=part.part, x=feature, y="error", height=420)
    figure.update_yaxes(tickformat=".0%")
    figure.update_layout(hovermode="closest")
    if len(figure.data) > 1:
        figure.update_layout(margin={"b": 120})  # for the legend
    return figure
