"""Charts of the tiers: what they move and hold, and how old chunks are when they are used again."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from kvsim.plan.demand import SECONDS_PER_DAY, window_rates
from kvsim.report import style
from kvsim.units import format_bytes, format_seconds
from kvsim.workload.trace_hits import Ages
from kvsim.workload.trace_stats import Window

TIERS: Final = {
    "hbm": ("GPU memory", style.HBM),
    "cpu": ("CPU memory", style.CPU),
    "remote": ("shared tier", style.OBJECT_STORE),
}
_WAYS: Final = {"read": ("read", "solid"), "write": ("written", "dot")}
_QUANTILES: Final = np.linspace(0, 1, 201)
_BARS: Final = 40
GB: Final = 1e9
GIB: Final = 2**30
TB: Final = 1e12


def tier_bandwidth(
    transfers: pd.DataFrame,
    *,
    bins: int = 60,
    cpu_ranks: int = 1,
    limits: Mapping[tuple[str, str], float] | None = None,
) -> go.Figure:
    """Draw what each tier moves over time, all instances together, a panel a tier.

    Rows of the CPU tier hold one rank's bytes, so `cpu_ranks` is the tensor parallelism. `limits`
    are the most (bytes/s) by tier and direction.
    """
    tiers = [tier for tier in TIERS if (transfers["tier"] == tier).any()]
    figure = make_subplots(
        rows=max(1, len(tiers)),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.12,
        subplot_titles=[TIERS[tier][0] for tier in tiers],
    )
    begin_s = float(transfers["started_s"].min()) if len(transfers) else 0.0
    end_s = float(transfers["finished_s"].max()) if len(transfers) else 1.0
    window_s = max(end_s - begin_s, 1e-9) / bins
    middles_s = begin_s + window_s * (np.arange(bins) + 0.5)
    for place, tier in enumerate(tiers, start=1):
        name, colour = TIERS[tier]
        for direction, (word, dash) in _WAYS.items():
            rows = transfers[(transfers["tier"] == tier) & (transfers["direction"] == direction)]
            if rows.empty:
                continue
            rates = window_rates(
                rows["started_s"].to_numpy(dtype=float),
                rows["finished_s"].to_numpy(dtype=float),
                rows["n_bytes"].to_numpy(dtype=float) * (cpu_ranks if tier == "cpu" else 1),
                begin_s,
                end_s,
                window_s,
            )[:bins]
            figure.add_scatter(
                x=middles_s,
                y=rates / GB,
                name=f"{name}, {word}",
                mode="lines",
                line={"color": colour, "width": 2, "dash": dash},
                hovertemplate="%{y:.3g} GB/s",
                row=place,
                col=1,
            )
            limit = (limits or {}).get((tier, direction))
            if limit and rates.max() > 0.2 * limit:  # else the line would flatten the curves
                figure.add_hline(
                    y=limit / GB,
                    line={"color": style.AGAIN, "width": 1, "dash": dash},
                    annotation={"text": f"most {word}", "font": {"size": 11}},
                    row=place,
                    col=1,
                )
    style.layout(figure, title="What the tiers move", x="", y="GB/s", height=180 + 200 * len(tiers))
    figure.update_layout(margin_t=88)
    figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(title_text="time, s", row=max(1, len(tiers)), col=1)
    return figure


def tier_fill(tiers: pd.DataFrame) -> go.Figure:
    """Draw how full each tier is, mean and most of a run, as a part of its capacity."""
    rows = tiers[tiers["capacity_bytes"].notna() & (tiers["capacity_bytes"] > 0)]
    labels = [
        TIERS[tier][0] + (f" {instance}" if instance >= 0 else "")
        for tier, instance in zip(rows["tier"], rows["instance"].astype(int), strict=True)
    ]
    figure = go.Figure()
    for column, name, opacity in (
        ("peak_used_bytes", "most", 0.35),
        ("mean_used_bytes", "mean", 1.0),
    ):
        figure.add_bar(
            x=100 * rows[column] / rows["capacity_bytes"],
            y=labels,
            orientation="h",
            name=name,
            marker={
                "color": [TIERS[tier][1] for tier in rows["tier"]],
                "opacity": opacity,
                "line": {"width": 0},
            },
            text=[format_bytes(value) for value in rows[column].fillna(0)],
            textposition="none",
            hovertemplate=f"%{{y}}, {name}: %{{x:.1f}} %, %{{text}}<extra></extra>",
        )
    style.layout(
        figure,
        title=style.titled("How full the tiers are", "light: most; full colour: mean of the run"),
        x="% of capacity",
        y="",
        height=190 + 30 * len(rows),
    )
    figure.update_layout(barmode="overlay", bargap=0.3, hovermode="closest", showlegend=False)
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_xaxes(range=[0, 101])
    return figure


def storage_bytes_per_day(transfers: pd.DataFrame, *, span_s: float) -> go.Figure:
    """Draw what the shared tier reads and writes a day at the rate of a run of `span_s`."""
    rows = transfers[transfers["tier"] == "remote"].groupby("direction")["n_bytes"].sum()
    daily = rows.reindex(list(_WAYS), fill_value=0) / max(span_s, 1e-9) * SECONDS_PER_DAY
    figure = go.Figure()
    figure.add_bar(
        x=daily / TB,
        y=[word for word, _ in _WAYS.values()],
        orientation="h",
        marker={"color": style.OBJECT_STORE, "opacity": [1.0, 0.6], "line": {"width": 0}},
        text=[f"{value / TB:.3g} TB" for value in daily],
        hovertemplate="%{y}: %{x:.3g} TB a day<extra></extra>",
        showlegend=False,
    )
    style.layout(
        figure,
        title="What the shared tier moves a day",
        x="TB a day",
        y="",
        height=230,
    )
    figure.update_layout(hovermode="closest", bargap=0.35)
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


def age_at_hit_and_eviction(ages: Ages, size: str) -> go.Figure:
    """Draw the distributions of both ages: where evictions lie left of hits, the cache thrashes."""
    figure = go.Figure()
    drawn = []
    both = np.concatenate([ages.at_hit_s, ages.at_eviction_s])
    least_s = float(np.min(both, where=both > 0, initial=1.0)) / 2  # at once, on a log axis
    for name, values, colour in (
        ("at a hit", ages.at_hit_s, style.CPU),
        ("at its eviction", ages.at_eviction_s, style.AGAIN),
    ):
        if values.size:
            quantiles = np.maximum(np.quantile(values, _QUANTILES), least_s)
            drawn.append(quantiles)
            figure.add_scatter(
                x=quantiles,
                y=100 * _QUANTILES,
                name=name,
                mode="lines",
                line={"color": colour, "width": 2.5},
                text=[format_seconds(s) for s in quantiles],
                hovertemplate="%{y:.0f} % within %{text}",
            )
    title = style.titled("Age of chunks, hit and evicted", f"one LRU cache of {size}")
    style.layout(figure, title=title, x="time since the last use, s (log scale)", y="% of chunks")
    style.log_axis(figure, "x", np.concatenate(drawn) if drawn else [1.0])
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(range=[0, 101])
    return figure


def reuse_distance(
    distance_tokens: ArrayLike,
    tokens: ArrayLike,
    *,
    prompt_tokens: int,
    kv_bytes_per_token: int | None = None,
    knee_tokens: int | None = None,
) -> go.Figure:
    """Draw how much other KV comes between two uses of the same tokens.

    Bars: the part of all prompt tokens at each distance (`tokens` weigh the distances). Line: their
    sum up to there, which is what one LRU cache of that size finds. `knee_tokens` is the size
    beyond which more brings less than on average.
    """
    unit, scale = ("GiB", kv_bytes_per_token / GIB) if kv_bytes_per_token else ("tokens", 1.0)
    sizes = np.maximum(np.asarray(distance_tokens, dtype=float), 1.0) * scale
    weights = 100 * np.asarray(tokens, dtype=float) / max(1, prompt_tokens)
    figure = go.Figure()
    if sizes.size:
        edges = np.geomspace(sizes.min() * 0.999, max(sizes.max(), 2 * sizes.min()), _BARS + 1)
        parts, _ = np.histogram(sizes, edges, weights=weights)
        figure.add_bar(
            x=np.sqrt(edges[:-1] * edges[1:]),
            y=parts,
            width=np.diff(edges),
            name="at this distance",
            marker={"color": "#56B4E9", "line": {"width": 0}},
            hovertemplate="%{y:.2f} %",
        )
        figure.add_scatter(
            x=edges[1:],
            y=np.cumsum(parts),
            name="up to it: hits of an LRU cache of that size",
            mode="lines",
            line={"color": style.CPU, "width": 2.5},
            hovertemplate="%{y:.1f} %",
        )
    style.layout(
        figure,
        title=style.titled("Reuse distance", "other KV used between two uses of the same tokens"),
        x=f"{unit} (log scale)",
        y="% of prompt tokens",
    )
    style.log_axis(figure, "x", sizes)
    if knee_tokens and sizes.size:
        knee = knee_tokens * scale
        style.log_mark(figure, knee, "knee", left=bool(2 * knee > sizes.max()))
    figure.update_yaxes(rangemode="tozero")
    return figure


def working_set(windows: Sequence[Window], *, kv_bytes_per_token: int | None = None) -> go.Figure:
    """Draw how much different KV each part of a trace's time uses, and all of it so far."""
    unit, scale = ("GiB", kv_bytes_per_token / GIB) if kv_bytes_per_token else ("tokens", 1.0)
    starts_s = [window.start_s for window in windows]
    figure = go.Figure()
    figure.add_bar(
        x=starts_s,
        y=[window.working_set_tokens * scale for window in windows],
        name="used within this time",
        offset=0,
        width=starts_s[1] - starts_s[0] if len(starts_s) > 1 else 1.0,
        marker={"color": style.CPU, "line": {"width": 0}},
        hovertemplate="%{y:,.4g} " + unit,
    )
    figure.add_scatter(
        x=starts_s,
        y=[window.seen_tokens * scale for window in windows],
        name="seen since the start",
        mode="lines+markers",
        line={"color": style.HBM, "width": 2.5},
        hovertemplate="%{y:,.4g} " + unit,
    )
    style.layout(figure, title="Working set over the trace", x="time, s", y=unit)
    figure.update_layout(bargap=0.1)
    figure.update_yaxes(rangemode="tozero")
    return figure
