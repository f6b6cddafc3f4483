"""Where the prompt tokens of each tenant came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from kvsim.report import style

if TYPE_CHECKING:
    import pandas as pd

_SOURCES = {
    "hit_tokens_hbm": ("HBM", style.HBM),
    "hit_tokens_cpu": ("CPU memory", style.CPU),
    "hit_tokens_remote": ("shared store", style.OBJECT_STORE),
    "computed_tokens": ("computed", style.FIRST),
}


def tokens_by_source_per_tenant(table: pd.DataFrame) -> go.Figure:
    """Draw a bar a tenant, divided by source; `table` is `RunResult.tenants`."""
    figure = go.Figure()
    tokens = table["prompt_tokens"].clip(lower=1)
    names = [f"{name} ({rate:.0%} found)" for name, rate in _rates(table)]
    for column, (label, colour) in _SOURCES.items():
        figure.add_bar(
            y=names,
            x=100 * table[column] / tokens,
            name=label,
            orientation="h",
            marker={"color": colour},
            customdata=table[column],
            hovertemplate="%{customdata:,} tokens (%{x:.1f} %)",
        )
    figure.update_layout(barmode="stack")
    style.layout(
        figure,
        title="Where each tenant's prompt tokens came from",
        x="% of its prompt tokens",
        y="",
        height=180 + 48 * len(names),
    )
    figure.update_xaxes(range=[0, 100])
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(hovermode="y unified")
    return figure


def _rates(table: pd.DataFrame) -> list[tuple[str, float]]:
    return list(zip(table["tenant"], table["token_hit_rate"], strict=True))
