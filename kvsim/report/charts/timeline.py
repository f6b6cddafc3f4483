"""One run as a film strip: what each request was doing at each time, and one instant of it.

Pure: tables in, figures out. Stages are those of a request's own instants: waiting until it is
scheduled, loading KV, prefill until the first token, decode until the last.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from kvsim.report import style
from kvsim.report.charts.requests import DECODE, LOAD, PREFILL, QUEUE
from kvsim.report.charts.tiers import GIB, TIERS
from kvsim.spec.scenario import Scenario

Floats = NDArray[np.float64]

STAGES: Final = {
    "queue": ("waiting", QUEUE),
    "load": ("loading KV", LOAD),
    "prefill": ("prefill", PREFILL),
    "decode": ("decoding", DECODE),
}
POINTS: Final = 600
"""Instants of the strip: more than a screen has columns for."""


def served(requests: pd.DataFrame) -> pd.DataFrame:
    """Choose the requests whose stages are known: scheduled, and not failed."""
    return requests[requests["scheduled_s"].notna() & (requests["outcome"] != "failed")]


def stage_spans(requests: pd.DataFrame) -> dict[str, tuple[Floats, Floats]]:
    """Give begin and end of each stage of every request that was served (s)."""
    rows = served(requests)
    arrival, scheduled, first, last, load = (
        rows[name].to_numpy(dtype=np.float64)
        for name in ("arrival_s", "scheduled_s", "first_token_s", "finished_s", "load_s")
    )
    loaded = scheduled + np.nan_to_num(load)
    never = np.inf
    first = np.where(np.isnan(first), never, first)
    return {
        "queue": (arrival, scheduled),
        "load": (scheduled, loaded),
        "prefill": (loaded, first),
        "decode": (first, np.where(np.isnan(last), never, last)),
    }


def stages_over_time(requests: pd.DataFrame, end_s: float, at_s: float | None = None) -> go.Figure:
    """Stack how many requests were in each stage over the run; a line marks the chosen instant."""
    times = np.linspace(0.0, end_s, POINTS)
    figure = go.Figure()
    for stage, (begin, end) in stage_spans(requests).items():
        name, colour = STAGES[stage]
        counts = np.searchsorted(np.sort(begin), times, side="right")
        counts = counts - np.searchsorted(np.sort(end), times, side="right")
        figure.add_scatter(
            x=times,
            y=counts,
            name=name,
            mode="lines",
            line={"width": 0, "color": colour},
            fillcolor=colour,
            stackgroup="stages",
            hovertemplate="%{y}",
        )
    if at_s is not None:
        figure.add_vline(x=at_s, line={"color": style.TEXT, "width": 2})
    return style.layout(
        figure, title="Requests by what they are doing", x="time, s", y="requests", height=320
    )


def instant(requests: pd.DataFrame, at_s: float, *, slots: int = 40) -> go.Figure:
    """Draw each request that is in the system at one instant as a bar of its stages so far.

    Oldest at the top, at most `slots` of them; the title counts the rest.
    """
    spans = stage_spans(requests)
    rows = served(requests)
    inside = np.flatnonzero((spans["queue"][0] <= at_s) & (spans["decode"][1] > at_s))
    inside = inside[np.argsort(spans["queue"][0][inside])]
    shown = inside[:slots]
    names = [
        f"session {session}, round {turn}"
        for session, turn in rows[["session_id", "round_index"]].to_numpy()[shown]
    ]
    figure = go.Figure()
    for stage, (name, colour) in STAGES.items():
        begin, end = spans[stage][0][shown], spans[stage][1][shown]
        lasted = np.clip(np.minimum(end, at_s) - begin, 0.0, None)
        figure.add_bar(
            y=list(range(len(shown))),
            x=lasted,
            base=np.minimum(begin, at_s) - at_s,
            orientation="h",
            name=name,
            customdata=names,
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"%{{customdata}}: {name} for %{{x:.2f}} s<extra></extra>",
        )
    more = f", {len(inside) - slots} more not shown" if len(inside) > slots else ""
    style.layout(
        figure,
        title=f"In the system at {at_s:,.1f} s: {len(inside)} requests{more}",
        x="seconds before this instant",
        y="requests, oldest first",
        height=max(260, 150 + 14 * len(shown)),
    )
    figure.update_layout(barmode="overlay", bargap=0.25, hovermode="closest")
    figure.update_yaxes(autorange="reversed", showticklabels=False)
    return figure


def tokens_so_far(requests: pd.DataFrame, end_s: float, at_s: float | None = None) -> go.Figure:
    """Draw the tokens that requests got from each source up to each instant, as they were served.

    Counted when the first token leaves.
    """
    rows = requests[requests["first_token_s"].notna()].sort_values("first_token_s")
    when = np.append(rows["first_token_s"].to_numpy(dtype=np.float64), end_s)
    figure = go.Figure()
    for column, name, colour in (
        ("hit_tokens_hbm", "HBM", style.HBM),
        ("hit_tokens_cpu", "CPU memory", style.CPU),
        ("hit_tokens_remote", "shared store", style.OBJECT_STORE),
        ("computed_tokens", "computed", style.AGAIN),
    ):
        total = np.cumsum(rows[column].to_numpy(dtype=np.float64))
        figure.add_scatter(
            x=when,
            y=np.append(total, total[-1] if total.size else 0.0) / 1e6,
            name=name,
            mode="lines",
            line={"color": colour, "width": 2.5},
            hovertemplate="%{y:.2f} M",
        )
    if at_s is not None:
        figure.add_vline(x=at_s, line={"color": style.TEXT, "width": 2})
    return style.layout(
        figure,
        title="Prompt tokens served so far, by source",
        x="time, s",
        y="million tokens",
        height=320,
    )


def fills_up(scenario: Scenario) -> bool:
    """Tell whether its tiers begin empty and give up chunks only to make room."""
    offload = scenario.offload
    remote = offload.remote
    ages = offload.cpu.eviction == "ttl" or (remote is not None and remote.eviction == "ttl")
    begins_full = remote is not None and remote.start_from is not None
    return not (ages or begins_full or scenario.tenants)


def tier_fill_over_time(
    transfers: pd.DataFrame, tiers: pd.DataFrame, end_s: float, at_s: float | None = None
) -> go.Figure:
    """Draw what CPU memory and the store hold: all that came in, until they are full.

    That is their level where `fills_up`. What is loaded from the store enters CPU memory too. CPU
    memory is that of one rank of each instance.
    """
    writes = transfers[transfers["direction"] == "write"]
    loads = transfers[(transfers["tier"] == "remote") & (transfers["direction"] == "read")]
    times = np.linspace(0.0, end_s, POINTS)
    figure = go.Figure()
    for tier, rows in tiers[tiers["tier"] != "hbm"].groupby("tier", sort=False):
        entering = writes[writes["tier"] == tier]
        if tier == "cpu":
            entering = pd.concat([entering, loads])
        level = np.zeros(POINTS)
        for row in rows.to_dict("records"):
            mine = (entering["instance"] == row["instance"]) | (row["instance"] < 0)
            level += _level(entering[mine], times, row["capacity_bytes"])
        name, colour = TIERS[str(tier)]
        figure.add_scatter(
            x=times,
            y=level / GIB,
            name=name,
            mode="lines",
            line={"color": colour, "width": 2.5},
            hovertemplate="%{y:,.4g} GiB",
        )
    if at_s is not None:
        figure.add_vline(x=at_s, line={"color": style.TEXT, "width": 2})
    style.layout(
        figure, title="How the tiers fill, all instances", x="time, s", y="GiB", height=320
    )
    figure.update_layout(showlegend=True)
    return figure.update_yaxes(rangemode="tozero")


def _level(entering: pd.DataFrame, times: Floats, capacity_bytes: float | None) -> Floats:
    """Add up what came in until each time, at most the capacity."""
    rows = entering.sort_values("finished_s")
    total = np.append(0.0, np.cumsum(rows["n_bytes"].to_numpy(dtype=np.float64)))
    level: Floats = total[np.searchsorted(rows["finished_s"].to_numpy(), times, side="right")]
    if capacity_bytes is None or math.isnan(capacity_bytes):
        return level
    most: Floats = np.minimum(level, capacity_bytes)
    return most
