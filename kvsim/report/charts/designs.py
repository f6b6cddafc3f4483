"""Designs side by side: one small chart a figure, the same order and colours in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from kvsim.report import style

COLOURS: Final = (style.FIRST, style.HBM, style.CPU, style.OBJECT_STORE, style.FILE_STORE)
COMPARED: Final = {
    "finished_per_s": ("requests/s", 1.0),
    "ttft_s_mean": ("mean TTFT, s", 1.0),
    "ttft_s_p95": ("p95 TTFT, s", 1.0),
    "decode_tokens_per_s_mean": ("decode, tokens/s", 1.0),
    "token_hit_rate": ("tokens found, %", 100.0),
}
"""Figure of a summary: its name with unit, and the factor to it."""


def side_by_side(names: Sequence[str], summaries: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw a bar a design for each figure that people compare, hatched where it is unstable."""
    figure = make_subplots(
        rows=len(COMPARED),
        cols=1,
        subplot_titles=[name for name, _ in COMPARED.values()],
        vertical_spacing=0.3 / len(COMPARED),
    )
    for place, (name, summary) in enumerate(zip(names, summaries, strict=True)):
        for row, (key, (unit, factor)) in enumerate(COMPARED.items(), start=1):
            value = None if summary[key] is None else factor * summary[key]
            figure.add_bar(
                x=[value],
                y=[place],
                orientation="h",
                name=name,
                legendgroup=name,
                showlegend=row == 1,
                text=["no value" if value is None else f"{value:.3g}"],
                textposition="outside",
                cliponaxis=False,
                marker={
                    "color": COLOURS[place % len(COLOURS)],
                    "pattern": {"shape": "" if summary["stable"] else "/"},
                    "line": {"width": 0},
                },
                hovertemplate=f"{name}: %{{x:.4g}} ({unit})<extra></extra>",
                row=row,
                col=1,
            )
    hatched = "" if all(one["stable"] for one in summaries) else "<br><sup>hatched: unstable</sup>"
    height = 180 + len(COMPARED) * (52 + 24 * len(names))
    style.layout(figure, title=f"Designs side by side{hatched}", x="", y="", height=height)
    figure.update_layout(hovermode="closest", margin={"t": 100, "r": 60}, bargap=0.15)
    figure.update_annotations(x=0, xanchor="left")
    figure.update_yaxes(showticklabels=False, ticks="", autorange="reversed", showgrid=False)
    figure.update_xaxes(rangemode="tozero", showticklabels=False, ticks="")
    return figure
