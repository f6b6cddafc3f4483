"""Charts of requests: when they came, what served them, where their time went."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from kvsim.report import style

_SERVED: Final = {
    "computed": ("mostly computed", style.FIRST),
    "hbm": ("mostly from HBM", style.HBM),
    "cpu": ("mostly from CPU memory", style.CPU),
    "remote": ("mostly from the shared tier", style.OBJECT_STORE),
}
ARRIVING: Final = "#C8C8C8"
QUEUE: Final = "#8A8F98"
LOAD: Final = style.OBJECT_STORE
PREFILL: Final = style.AGAIN
DECODE: Final = "#56B4E9"
TTFT_PARTS: Final = {
    "arriving_s": ("to the engine: HTTP, template, tokens", ARRIVING),
    "waiting_s": ("in the engine's queue", QUEUE),
    "load_s": ("loads from the tiers", LOAD),
    "prefill_s": ("prefill and first token", PREFILL),
}
"""Parts of the time to first token, in their order; they add up to it."""
_MOST_LANES_PX: Final = 900
_MOST_POINTS: Final = 4_000
"""Requests that are drawn one by one; of more, evenly spread ones, so that pages stay small."""
_MOST_STEPS: Final = 1_000


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
    every = -(-len(rows) // _MOST_POINTS)
    if every > 1:
        rows = rows.iloc[::every]
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
        figure,
        title=style.titled(
            "Time to first token over the run", f"one request in {every}" if every > 1 else ""
        ),
        x="arrival, s",
        y="seconds (log scale)",
    )
    figure.update_layout(hovermode="closest", showlegend=True)
    style.log_axis(figure, "y", rows["ttft_s"])
    return figure


def ttft_cdf_by_tier(requests: pd.DataFrame) -> go.Figure:
    """Draw the share of requests within a time to first token, by what served them."""
    rows = _finished(requests)
    source = served_by(rows)
    figure = go.Figure()
    for key, (name, colour) in _SERVED.items():
        values = np.sort(rows.loc[source == key, "ttft_s"].to_numpy())
        if not values.size:
            continue
        steps = _spread(values.size, _MOST_STEPS)
        figure.add_scatter(
            x=values[steps],
            y=100 * (steps + 1) / values.size,
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
    figure.update_layout(hovermode="closest", showlegend=True)
    style.log_axis(figure, "x", rows["ttft_s"])
    figure.update_yaxes(range=[0, 101])
    return figure


def ttft_parts(requests: pd.DataFrame) -> pd.DataFrame:
    """Split the time to first token of finished requests (s); the columns add up to it."""
    rows = _finished(requests)
    return pd.DataFrame(
        {
            "arriving_s": rows["engine_s"] - rows["arrival_s"],
            "waiting_s": rows["scheduled_s"] - rows["engine_s"],
            "load_s": rows["load_s"],
            "prefill_s": rows["prefill_s"],
        }
    )


def ttft_waterfall(requests_by_name: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Stack the mean parts of the time to first token, a bar a run."""
    parts = {name: ttft_parts(table).mean() for name, table in requests_by_name.items()}
    names = list(parts)
    labels = [style.setup_name(name) for name in names]
    figure = go.Figure()
    for column, (label, colour) in TTFT_PARTS.items():
        figure.add_bar(
            x=[parts[name][column] for name in names],
            y=labels,
            orientation="h",
            name=label,
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"{label}: %{{x:.4g}} s<extra></extra>",
        )
    for label, name in zip(labels, names, strict=True):
        total = float(parts[name].sum())
        figure.add_annotation(
            x=total, y=label, text=f" {total:.3g} s", xanchor="left", showarrow=False
        )
    style.stacked_bars(
        figure, len(names), title="Where the time to first token goes, mean", x="seconds"
    )
    most = max((float(each.sum()) for each in parts.values()), default=0.0)
    figure.update_xaxes(range=[0, 1.25 * most or 1.0])
    return figure


def request_timeline(requests: pd.DataFrame, *, limit: int = 200) -> go.Figure:
    """Draw a lane a session: what each of its requests did when, for the first `limit` of a run."""
    rows = _finished(requests).sort_values("arrival_s").head(limit)
    lane = {session: n for n, session in enumerate(dict.fromkeys(rows["session_id"]))}
    lanes = rows["session_id"].map(lane)
    loaded_s = rows["scheduled_s"] + rows["load_s"]
    figure = go.Figure()
    for name, colour, begin, end in (
        ("queue", QUEUE, rows["arrival_s"], rows["scheduled_s"]),
        ("load", LOAD, rows["scheduled_s"], loaded_s),
        ("prefill", PREFILL, loaded_s, rows["first_token_s"]),
        ("decode", DECODE, rows["first_token_s"], rows["finished_s"]),
    ):
        figure.add_bar(
            x=end - begin,
            base=begin,
            y=lanes,
            orientation="h",
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            customdata=rows[["session_id", "round_index", "instance"]].astype(str),
            hovertemplate=f"{name} %{{x:.3g}} s from %{{base:.1f}} s: session %{{customdata[0]}}, "
            "round %{customdata[1]}, instance %{customdata[2]}<extra></extra>",
        )
    more = len(_finished(requests)) - len(rows)
    subtitle = f"the first {len(rows):,} requests; {more:,} more follow" if more else ""
    style.layout(
        figure,
        title=style.titled("What each session does when", subtitle),
        x="time, s",
        y="sessions in order of arrival",
        height=min(_MOST_LANES_PX, 260 + 9 * len(lane)),
    )
    figure.update_layout(barmode="overlay", bargap=0.15, hovermode="closest")
    figure.update_yaxes(autorange="reversed", showgrid=False, showticklabels=False)
    return figure


def sessions_over_time(sessions: pd.DataFrame) -> go.Figure:
    """Draw how many sessions are alive; a line that keeps rising is an overloaded service."""
    rows = sessions.iloc[_spread(len(sessions), _MOST_POINTS)]
    figure = go.Figure()
    figure.add_scatter(
        x=rows["time_s"],
        y=rows["live"],
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


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Return evenly spread places, the first and the last among them; all if they are few."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
