"""Where the prompt tokens came from."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from kvsim.report import style
from kvsim.report.charts.metrics import path_value_text

SOURCES: Final[Mapping[str, tuple[str, str, str]]] = {
    "hit_tokens_hbm": ("found in HBM", style.HBM, ""),
    "hit_tokens_cpu": ("found in CPU memory", style.CPU, ""),
    "hit_tokens_remote": ("found in the shared tier", style.OBJECT_STORE, ""),
    "first_computed_tokens": ("computed, first time", style.FIRST, ""),
    "recomputed_elsewhere_tokens": ("computed again: another instance has it", style.AGAIN, "/"),
    "recomputed_evicted_tokens": ("computed again: evicted", style.AGAIN, ""),
}
"""Token columns in the order of the stack: name, colour, pattern."""


def with_first_computed(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the tokens that had to be computed in any case: computed less computed again."""
    again = frame["recomputed_elsewhere_tokens"] + frame["recomputed_evicted_tokens"]
    return frame.assign(first_computed_tokens=frame["computed_tokens"] - again)


def tokens_by_source(summaries: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Draw where the prompt tokens of each run came from as a stacked bar."""
    labels = [style.setup_name(name) for name in summaries]
    tokens = with_first_computed(pd.DataFrame(list(summaries.values())))
    totals = tokens["prompt_tokens"].clip(lower=1)
    figure = go.Figure()
    for column, (name, colour, pattern) in SOURCES.items():
        figure.add_bar(
            x=100 * tokens[column] / totals,
            y=labels,
            orientation="h",
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern}, "line": {"width": 0}},
            customdata=tokens[column],
            hovertemplate=f"{name}: %{{x:.1f}} %, %{{customdata:,}} tokens<extra></extra>",
        )
    style.stacked_bars(
        figure, len(labels), title="Where the prompt tokens come from", x="% of prompt tokens"
    )
    figure.update_xaxes(range=[0, 100])
    return figure


def tokens_by_source_over_time(requests: pd.DataFrame, *, bins: int = 40) -> go.Figure:
    """Stack where the prompt tokens came from, by when their requests arrived."""
    rows = with_first_computed(requests[(requests["outcome"] == "finished") & ~requests["warmup"]])
    arrival_s = rows["arrival_s"].to_numpy(dtype=float)
    begin_s, end_s = (arrival_s.min(), arrival_s.max()) if arrival_s.size else (0.0, 0.0)
    edges_s = np.linspace(begin_s, max(end_s, begin_s + 1e-9), bins + 1)
    width_s = float(edges_s[1] - edges_s[0])
    figure = go.Figure()
    for column, (name, colour, pattern) in SOURCES.items():
        amounts, _ = np.histogram(arrival_s, edges_s, weights=rows[column].to_numpy(dtype=float))
        figure.add_scatter(
            x=edges_s,
            y=np.append(amounts, amounts[-1:]) / width_s,
            name=name,
            mode="lines",
            line={"width": 0, "shape": "hv", "color": colour},
            fillcolor=colour,
            # Without its own background the swatch of a pattern is invisible in the legend.
            fillpattern={
                "shape": pattern,
                "fgcolor": "rgba(255, 255, 255, 0.6)",
                "bgcolor": colour if pattern else None,
            },
            stackgroup="sources",
            hovertemplate="%{y:,.0f} tokens/s",
        )
    style.layout(
        figure,
        title="Prompt tokens by source over the run",
        x="arrival, s",
        y="tokens per second",
        height=460,
    )
    return figure


def source_shares(frame: pd.DataFrame, x: str) -> pd.DataFrame:
    """Reduce the seeds to the mean share of each source, so that the shares still add up to one."""
    tokens = with_first_computed(frame)
    shares = tokens[list(SOURCES)].div(tokens["prompt_tokens"], axis="index")
    return shares.groupby([tokens["setup"], tokens[x]], sort=False).mean().reset_index()


def token_sources(frame: pd.DataFrame, *, x: str, x_title: str) -> go.Figure:
    """Stack the shares of prompt tokens by where they came from, a panel a set-up."""
    shares = source_shares(frame, x)
    setups = list(frame["setup"].unique())
    figure = make_subplots(
        rows=1,
        cols=len(setups),
        shared_yaxes=True,
        horizontal_spacing=0.02,
        subplot_titles=[style.legend_name(setup) for setup in setups],
    )
    for column, (name, colour, pattern) in SOURCES.items():
        for position, setup in enumerate(setups):
            rows = shares[shares["setup"] == setup].sort_values(x)
            own = style.FILE_STORE if column == "hit_tokens_remote" and setup == "pnfs" else colour
            figure.add_bar(
                x=[path_value_text(x, value) for value in rows[x]],
                y=100 * rows[column],
                name=f"{name} (pNFS)" if own != colour else name,
                legendgroup=column + own,
                showlegend=_first_of_its_colour(column, setups, position),
                marker={"color": own, "pattern": {"shape": pattern}, "line": {"width": 0}},
                hovertemplate="%{y:.1f} %",
                row=1,
                col=position + 1,
            )
    style.layout(
        figure,
        title="Where the prompt tokens come from",
        x=x_title,
        y="",
        height=460,
    )
    figure.update_layout(barmode="stack", bargap=0.15, margin_t=80)
    figure.update_annotations(font={"size": 12})
    figure.update_xaxes(type="category", title_text="")
    figure.update_xaxes(title_text=x_title, row=1, col=(len(setups) + 1) // 2)
    figure.update_yaxes(title_text="% of prompt tokens", range=[0, 100], row=1, col=1)
    return figure


def _first_of_its_colour(column: str, setups: Iterable[str], position: int) -> bool:
    names = list(setups)
    if column != "hit_tokens_remote":
        return position == 0
    same = [i for i, setup in enumerate(names) if (setup == "pnfs") == (names[position] == "pnfs")]
    return position == same[0]
