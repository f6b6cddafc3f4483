"""Charts of planning: hit rate against capacity, load against recompute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from kvsim.report import style
from kvsim.text import short
from kvsim.workload.trace_hits import Hits

GIB: Final = 2**30
TB: Final = 1e12
_MORE_STORES: Final = ("#56B4E9", "#7F7F7F", "#F0E442")
_COMPUTES: Final = "#D55E00"
# Diverging and readable by colour-blind people: orange where computing wins, blue where loading.
_GAIN_SCALE: Final = [
    [0.0, "#8C3A00"],
    [0.25, "#D55E00"],
    [0.5, "#F2F2F2"],
    [0.75, "#56B4E9"],
    [1.0, "#00476B"],
]
_MOST_DOUBLINGS: Final = 3.0
_MOST_TOKEN_TICKS: Final = 6


def hit_rate_by_capacity(
    curve: pd.DataFrame,
    simulated: pd.DataFrame,
    *,
    ceiling_rate: float,
    knee_bytes: float | None = None,
    chosen_bytes: float | None = None,
) -> go.Figure:
    """Draw token hit rate over CPU capacity: replayed LRU, bound of all policies, simulations.

    `curve` has capacity_bytes, lru_rate, bound_rate; `simulated` capacity_bytes, local_hit_rate,
    stable, meets.
    """
    figure = go.Figure()
    drawn = curve[curve["capacity_bytes"] > 0]
    for column, name, colour, dash in (
        ("bound_rate", "bound: no policy finds more (GPU + CPU)", style.FIRST, "dash"),
        ("lru_rate", "CPU alone, least recently used (replay)", style.CPU, "solid"),
    ):
        figure.add_scatter(
            x=drawn["capacity_bytes"] / GIB,
            y=100 * drawn[column],
            name=name,
            mode="lines",
            line={"color": colour, "width": 2.5, "dash": dash},
            hovertemplate="%{y:.1f} %",
        )
    points = simulated[simulated["capacity_bytes"] > 0].sort_values("capacity_bytes")
    figure.add_scatter(
        x=points["capacity_bytes"] / GIB,
        y=100 * points["local_hit_rate"],
        name="simulated, GPU + CPU",
        mode="markers",
        marker={
            "size": 10,
            "color": style.HBM,
            "symbol": ["circle" if stable else "circle-open" for stable in points["stable"]],
            "line": {"width": 2, "color": style.HBM},
        },
        hovertemplate="%{y:.1f} %",
    )
    figure.add_hline(y=100 * ceiling_rate, line={"color": style.GRID, "dash": "dot"})
    marks = {"knee": knee_bytes, "chosen": chosen_bytes}
    larger = max(marks, key=lambda name: marks[name] or 0.0)
    for words, value in marks.items():
        if value:
            style.log_mark(figure, value / GIB, words, left=words != larger)
    hollow = "" if points["stable"].all() else "<br><sup>hollow: answers fall behind</sup>"
    style.layout(
        figure,
        title="Hit rate against CPU memory" + hollow,
        x="CPU memory of a rank, GiB (log scale)",
        y="% of prompt tokens found",
        height=440,
    )
    style.log_axis(figure, "x", [*drawn["capacity_bytes"] / GIB, *points["capacity_bytes"] / GIB])
    figure.update_yaxes(range=[0, 101])
    return figure


def hit_rate_by_policy(
    found: Sequence[Hits], chunk_tokens: int, kv_bytes_per_token: int | None
) -> go.Figure:
    """Draw the hit rate of each policy over the size of one cache; optimal knows the future."""
    figure = go.Figure()
    scale = chunk_tokens * (kv_bytes_per_token / GIB if kv_bytes_per_token else 1)
    for position, policy in enumerate(dict.fromkeys(hits.policy for hits in found)):
        curve = sorted((h.capacity_chunks, h.rate) for h in found if h.policy == policy)
        figure.add_scatter(
            x=[chunks * scale for chunks, _ in curve],
            y=[100 * rate for _, rate in curve],
            name=policy,
            mode="lines+markers",
            line={
                "color": style.setup_colour(policy, position),
                "dash": "dash" if policy == "optimal" else "solid",
            },
            marker={"symbol": style.setup_symbol(position)},
            hovertemplate="%{y:.1f} %",
        )
    unit = "GiB" if kv_bytes_per_token else "tokens"
    style.layout(
        figure, title="Hit rate by size of the cache", x=f"{unit} (log scale)", y="% of tokens"
    )
    style.log_axis(figure, "x", [hits.capacity_chunks * scale for hits in found])
    figure.update_yaxes(rangemode="tozero")
    return figure


def marginal_saving(
    curve: pd.DataFrame, *, rate: str = "hit_rate", more_bytes: float = TB
) -> go.Figure:
    """Draw what more capacity would save at each size: prompt tokens that need no computing then.

    `curve` has capacity_bytes and a hit rate of one cache, read linearly between its rows.
    """
    rows = curve.sort_values("capacity_bytes")
    sizes, rates = rows["capacity_bytes"].to_numpy(dtype=float), rows[rate].to_numpy(dtype=float)
    saved = 100 * (np.interp(sizes + more_bytes, sizes, rates) - rates)
    drawn = sizes > 0
    figure = go.Figure()
    figure.add_scatter(
        x=sizes[drawn] / GIB,
        y=saved[drawn],
        mode="lines",
        line={"color": style.CPU, "width": 2.5},
        fill="tozeroy",
        fillcolor="rgba(230, 159, 0, 0.2)",
        hovertemplate="%{y:.2f} points of hit rate",
        showlegend=False,
    )
    style.layout(
        figure,
        title=f"What {_decimal(more_bytes)} more would save",
        x="capacity that is there, GiB (log scale)",
        y="further % of prompt tokens found",
    )
    style.log_axis(figure, "x", sizes[drawn] / GIB)
    figure.update_yaxes(rangemode="tozero")
    return figure


def _decimal(n_bytes: float) -> str:
    """Write a size as storage is sold."""
    return f"{n_bytes / TB:g} TB" if n_bytes >= TB else f"{n_bytes / 1e9:g} GB"


def breakeven_map(
    gains: Sequence[Sequence[float]],
    *,
    contexts: Sequence[int],
    rates: Sequence[float],
    own_rate: float | None,
    title: str,
) -> go.Figure:
    """Colour context x bandwidth by how much sooner loading gives the first token.

    `gains[i][j]` is recompute over load time at rates[i] and contexts[j]; 1 is the break-even.
    """
    doublings = np.log2(np.clip(np.asarray(gains, dtype=float), 2.0**-6, 2.0**6))
    x, y = list(contexts), [rate / 1e9 for rate in rates]
    figure = go.Figure()
    figure.add_heatmap(
        x=x,
        y=y,
        z=np.clip(doublings, -_MOST_DOUBLINGS, _MOST_DOUBLINGS),
        customdata=2.0**doublings,
        zmin=-_MOST_DOUBLINGS,
        zmax=_MOST_DOUBLINGS,
        colorscale=_GAIN_SCALE,
        colorbar={
            "title": {"text": "recompute<br>/ load"},
            "tickvals": [-3, -2, -1, 0, 1, 2, 3],
            "ticktext": ["1/8", "1/4", "1/2", "1", "2", "4", "8"],
        },
        hovertemplate="%{x:,} tokens, %{y:.2f} GB/s: %{customdata:.2f}x<extra></extra>",
    )
    if np.ptp(doublings) > 0 and doublings.min() < 0 < doublings.max():
        figure.add_contour(
            x=x,
            y=y,
            z=doublings,
            contours={"start": 0, "end": 0, "size": 1, "coloring": "none", "showlabels": False},
            line={"color": "#1f2430", "width": 3},
            showscale=False,
            showlegend=False,
            hoverinfo="skip",
        )
    if own_rate:
        own = own_rate / 1e9
        line = {"color": "#1f2430", "dash": "dash", "width": 1.5}
        figure.add_shape(
            type="line", x0=0, x1=1, y0=own, y1=own, xref="x domain", yref="y", line=line
        )
        figure.add_annotation(
            x=0,
            y=float(np.log10(own)),  # annotations of a log axis count in powers of ten
            xref="x domain",
            text="as described",
            font={"color": "#1f2430"},
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
        )
    style.layout(
        figure,
        title=f"{title}<br><sup>blue: loading wins; orange: computing; line: break-even</sup>",
        x="cached context, tokens (log scale)",
        y="bandwidth of one instance, GB/s (log scale)",
        height=460,
    )
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(type="log", **_token_ticks(x))
    style.log_axis(figure, "y", y)
    figure.update_yaxes(range=[float(np.log10(y[0])), float(np.log10(y[-1]))])
    return figure


def breakeven_curves(points: pd.DataFrame) -> go.Figure:
    """Draw time to first token over context, computed once and loaded from each tier.

    Lines are the closed form, markers simulations; columns as `CurvePoint.to_dict`, and medium.
    """
    figure = go.Figure()
    names, colours = list(points["tier"].unique()), tier_colours(points)
    first = points[points["tier"] == names[0]].sort_values("context")
    _line(figure, first, "recompute_s", "computed", _COMPUTES, dash="dash", symbol="x")
    for position, name in enumerate(names):
        rows = points[points["tier"] == name].sort_values("context")
        colour = colours[str(name)]
        symbol = style.setup_symbol(position)
        label = "loaded from " + ("CPU memory" if name == "cpu" else str(name))
        _line(figure, rows, "load_s", label, colour, dash="solid", symbol=symbol)
    style.layout(
        figure,
        title="Load or recompute<br><sup>lines: closed form; markers: simulated</sup>",
        x="cached context, tokens (log scale)",
        y="time to first token, s (log scale)",
        height=460,
    )
    figure.update_xaxes(type="log", **_token_ticks(first["context"].tolist()))
    shown = [column for column in points if str(column).endswith(("load_s", "recompute_s"))]
    style.log_axis(figure, "y", points[shown].to_numpy(dtype=float))
    return figure


def waterfall(points: pd.DataFrame, context: int) -> go.Figure:
    """Stack the parts of the time to first token of each tier at one context length."""
    rows = points[points["context"] == context]
    figure = go.Figure()
    parts = list(rows.iloc[0]["parts_s"])
    palette = (*_PART_COLOURS, *_PART_COLOURS)
    for part, colour in zip(parts, palette, strict=False):
        figure.add_bar(
            x=["CPU memory" if tier == "cpu" else str(tier) for tier in rows["tier"]],
            y=[parts_s[part] for parts_s in rows["parts_s"]],
            name=part.replace("_", " "),
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate="%{y:.3f} s",
        )
    compute = float(rows.iloc[0]["recompute_s"])
    figure.add_hline(
        y=compute,
        line={"color": _COMPUTES, "dash": "dash"},
        annotation={"text": "computed", "xanchor": "left", "x": 0},
    )
    style.layout(
        figure,
        title=f"Where the time goes at {short(context)} tokens",
        x="",
        y="time to first token, s",
        height=460,
    )
    figure.update_layout(barmode="stack", bargap=0.35)
    return figure


_PART_COLOURS: Final = (
    "#9A9A9A",
    "#56B4E9",
    "#F0E442",
    "#CC79A7",
    "#009E73",
    "#E69F00",
    "#D55E00",
    "#8C3A00",
    "#C8C8C8",
)


def tier_colours(points: pd.DataFrame) -> dict[str, str]:
    """Give each tier its colour of all charts; a second store of a kind takes a free one."""
    own = {"cpu": style.CPU, "object": style.OBJECT_STORE, "file": style.FILE_STORE}
    free = iter(_MORE_STORES * len(points))
    found: dict[str, str] = {}
    for tier, medium in points[["tier", "medium"]].drop_duplicates("tier").to_numpy().tolist():
        found[str(tier)] = own.pop("cpu" if tier == "cpu" else medium, "") or next(free)
    return found


def _line(
    figure: go.Figure,
    rows: pd.DataFrame,
    column: str,
    name: str,
    colour: str,
    *,
    dash: str,
    symbol: str,
) -> None:
    figure.add_scatter(
        x=rows["context"],
        y=rows[column],
        name=name,
        legendgroup=name,
        mode="lines",
        line={"color": colour, "width": 2.5, "dash": dash},
        hovertemplate="%{y:.3f} s",
    )
    simulated = rows[rows[f"simulated_{column}"].notna()]
    figure.add_scatter(
        x=simulated["context"],
        y=simulated[f"simulated_{column}"],
        name=f"{name}, simulated",
        legendgroup=name,
        showlegend=False,
        mode="markers",
        marker={"color": colour, "size": 10, "symbol": symbol, "line": {"width": 1}},
        hovertemplate="%{y:.3f} s simulated",
    )


def _token_ticks(contexts: Sequence[int]) -> dict[str, list[float] | list[str]]:
    """Put ticks on powers of two, few enough that their labels stay apart in a narrow chart."""
    low, high = min(contexts), max(contexts)
    ticks = [float(2**n) for n in range(6, 25) if low <= 2**n <= high]
    ticks = ticks[:: -(-len(ticks) // _MOST_TOKEN_TICKS) or 1]
    return {
        "tickvals": ticks,
        "ticktext": [f"{t / 1024:g}Ki" if t >= 1024 else f"{t:g}" for t in ticks],
    }
