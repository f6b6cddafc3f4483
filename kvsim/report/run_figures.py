"""Charts of one run: its tables in, plotly figures out."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from kvsim.report import style
from kvsim.report.figures import SOURCES

_SERVED: Final = {
    "computed": ("mostly computed", style.FIRST),
    "hbm": ("mostly from HBM", style.HBM),
    "cpu": ("mostly from CPU memory", style.CPU),
    "remote": ("mostly from the shared tier", style.OBJECT_STORE),
}


def tokens_bar(summary: Mapping[str, Any]) -> go.Figure:
    """Draw where the prompt tokens came from as one stacked bar."""
    again = summary["recomputed_elsewhere_tokens"] + summary["recomputed_evicted_tokens"]
    tokens = {**summary, "first_computed_tokens": summary["computed_tokens"] - again}
    total = max(1, summary["prompt_tokens"])
    figure = go.Figure()
    for column, (name, colour, pattern) in SOURCES.items():
        figure.add_bar(
            x=[100 * tokens[column] / total],
            y=["tokens"],
            orientation="h",
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern}, "line": {"width": 0}},
            hovertemplate=f"{name}: %{{x:.1f}} %, {tokens[column]:,} tokens<extra></extra>",
        )
    style.layout(
        figure,
        title="Where the prompt tokens come from",
        x="% of prompt tokens",
        y="",
        height=260,
    )
    figure.update_layout(barmode="stack", hovermode="closest")
    figure.update_yaxes(showticklabels=False)
    figure.update_xaxes(range=[0, 100])
    return figure


def served_by(requests: pd.DataFrame) -> pd.Series:
    """Name for each request the source that most of its prompt came from."""
    columns = {
        "computed": "computed_tokens",
        "hbm": "hit_tokens_hbm",
        "cpu": "hit_tokens_cpu",
        "remote": "hit_tokens_remote",
    }
    names = np.array(list(columns))
    largest = requests[list(columns.values())].to_numpy().argmax(axis=1)
    return pd.Series(names[largest], index=requests.index, name="served_by")


def ttft_over_time(requests: pd.DataFrame) -> go.Figure:
    """Draw each request's time to first token at its arrival, coloured by what served it."""
    rows = _finished(requests)
    source = served_by(rows)
    figure = go.Figure()
    for key, (name, colour) in _SERVED.items():
        own = rows[source == key]
        if own.empty:
            continue
        figure.add_scattergl(
            x=own["arrival_s"],
            y=own["ttft_s"],
            name=name,
            mode="markers",
            marker={"size": 5, "color": colour, "opacity": 0.7},
            hovertemplate="%{y:.3f} s at %{x:.0f} s",
        )
    style.layout(
        figure, title="Time to first token over the run", x="arrival, s", y="seconds (log scale)"
    )
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(type="log", dtick=1, minor={"showgrid": False})
    return figure


def ttft_distribution(requests: pd.DataFrame) -> go.Figure:
    """Draw the share of requests within a time to first token, by what served them."""
    rows = _finished(requests)
    source = served_by(rows)
    figure = go.Figure()
    for key, (name, colour) in _SERVED.items():
        values = np.sort(rows.loc[source == key, "ttft_s"].to_numpy())
        if not values.size:
            continue
        figure.add_scatter(
            x=values,
            y=100 * np.arange(1, values.size + 1) / values.size,
            name=f"{name} ({values.size:,})",
            mode="lines",
            line={"color": colour, "width": 2.5, "shape": "hv"},
            hovertemplate="%{y:.0f} % within %{x:.3f} s",
        )
    style.layout(
        figure,
        title="Time to first token by what served it",
        x="seconds (log scale)",
        y="% of these requests",
    )
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(type="log", dtick=1, minor={"showgrid": False})
    figure.update_yaxes(range=[0, 100])
    return figure


def sessions_over_time(sessions: pd.DataFrame) -> go.Figure:
    """Draw how many sessions are alive; a line that keeps rising is an overloaded service."""
    figure = go.Figure()
    figure.add_scatter(
        x=sessions["time_s"],
        y=sessions["live"],
        mode="lines",
        line={"color": style.HBM, "width": 2, "shape": "hv"},
        hovertemplate="%{y} at %{x:.0f} s",
        showlegend=False,
    )
    style.layout(figure, title="Live sessions over the run", x="time, s", y="sessions")
    figure.update_yaxes(rangemode="tozero")
    return figure


def _finished(requests: pd.DataFrame) -> pd.DataFrame:
    return requests[(requests["outcome"] == "finished") & ~requests["warmup"]]
