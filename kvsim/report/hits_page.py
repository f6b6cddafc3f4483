"""Hit rate against cache size, and how old chunks are when they are hit or leave."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from kvsim.report import style
from kvsim.report.html import Cell, Page
from kvsim.report.text import percent
from kvsim.units import format_bytes, format_seconds
from kvsim.workload.trace_hits import Ages, Hits

_QUANTILES = np.linspace(0, 1, 201)


def hits_page(
    name: str,
    found: Sequence[Hits],
    old: Mapping[int, Ages],
    *,
    chunk_tokens: int,
    kv_bytes_per_token: int | None,
) -> Page:
    """Draw the hit rates, and the ages by capacity (chunks)."""
    page = Page(f"Hit rates of {name}")
    page.paragraph(
        "Prompts come one after the other through one cache, without time: an upper bound for "
        "caches that are split, still loading, or full of what runs. optimal knows the future."
    )
    page.charts(hit_rate_chart(found, chunk_tokens, kv_bytes_per_token))
    for capacity, one in old.items():
        page.charts(age_chart(one, _size(capacity, chunk_tokens, kv_bytes_per_token)))
    page.heading("All sizes")
    page.table(
        ["policy", Cell("size", "num"), Cell("hit tokens", "num"), Cell("hit rate", "num")],
        [
            [
                hits.policy,
                Cell(_size(hits.capacity_chunks, chunk_tokens, kv_bytes_per_token), "num"),
                Cell(f"{hits.hit_tokens:,}", "num"),
                Cell(percent(hits.rate), "num"),
            ]
            for hits in found
        ],
    )
    return page


def hit_rate_chart(
    found: Sequence[Hits], chunk_tokens: int, kv_bytes_per_token: int | None
) -> go.Figure:
    """Draw the hit rate of each policy over the size of the cache."""
    figure = go.Figure()
    scale = chunk_tokens * (kv_bytes_per_token / 2**30 if kv_bytes_per_token else 1)
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
        )
    figure.update_xaxes(type="log")
    figure.update_yaxes(rangemode="tozero")
    unit = "GiB" if kv_bytes_per_token else "tokens"
    return style.layout(
        figure, title="Hit rate by size of the cache", x=f"{unit} (log scale)", y="% of tokens"
    )


def age_chart(old: Ages, size: str) -> go.Figure:
    """Draw the distributions of both ages: where evictions lie left of hits, the cache thrashes."""
    figure = go.Figure()
    for name, values, colour in (
        ("at a hit", old.at_hit_s, style.CPU),
        ("at its eviction", old.at_eviction_s, style.AGAIN),
    ):
        if values.size:
            figure.add_scatter(
                x=np.maximum(np.quantile(values, _QUANTILES), 1e-3),
                y=100 * _QUANTILES,
                name=name,
                mode="lines",
                line={"color": colour},
                hovertext=[format_seconds(s) for s in np.quantile(values, _QUANTILES)],
            )
    figure.update_xaxes(type="log")
    return style.layout(
        figure,
        title=f"Time since a chunk's last use, LRU of {size}",
        x="seconds (log scale)",
        y="% of chunks",
    )


def _size(chunks: int, chunk_tokens: int, kv_bytes_per_token: int | None) -> str:
    if kv_bytes_per_token:
        return format_bytes(chunks * chunk_tokens * kv_bytes_per_token)
    return f"{chunks * chunk_tokens:,} tokens"
