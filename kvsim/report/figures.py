"""Charts of a sweep: a table in, a plotly figure out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from kvsim.report import style
from kvsim.report.text import short

HOLLOW: Final = "hollow: arrivals outrun the service"


@dataclass(frozen=True)
class Metric:
    """How a column of the summary is called and drawn."""

    column: str
    title: str
    axis: str
    log: bool = False


SPEED: Final = Metric("finished_per_s", "Processing speed", "requests finished per second")
TTFT: Final = Metric("ttft_s_mean", "Mean time to first token", "seconds (log scale)", log=True)
DECODE: Final = Metric(
    "decode_tokens_per_s_mean", "Mean decode throughput per request", "tokens per second"
)
MAIN: Final = (SPEED, TTFT, DECODE)

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


def median_over_seeds(frame: pd.DataFrame, x: str) -> pd.DataFrame:
    """Reduce the seeds of each set-up and x to their median; stable only where most seeds are."""
    numeric = frame.select_dtypes("number").columns.difference([x, "seed"])
    groups = frame.groupby(["setup", x], sort=False)
    medians = groups[list(numeric)].median()
    stable = groups["stable"].mean() > 0.5
    return medians.assign(stable=stable).reset_index()


def source_shares(frame: pd.DataFrame, x: str) -> pd.DataFrame:
    """Reduce the seeds to the mean share of each source, so that the shares still add up to one."""
    tokens = with_first_computed(frame)
    shares = tokens[list(SOURCES)].div(tokens["prompt_tokens"], axis="index")
    return shares.groupby([tokens["setup"], tokens[x]], sort=False).mean().reset_index()


def lines(frame: pd.DataFrame, metric: Metric, *, x: str, x_title: str) -> go.Figure:
    """Draw one metric over x for each set-up: median line, bars from least to most over seeds."""
    figure = go.Figure()
    several = frame["seed"].nunique() > 1
    medians = median_over_seeds(frame, x)
    for position, setup in enumerate(frame["setup"].unique()):
        rows = medians[medians["setup"] == setup].sort_values(x)
        bars = None
        if several:
            spread = frame[frame["setup"] == setup].groupby(x)[metric.column].agg(["min", "max"])
            bars = {
                "type": "data",
                "symmetric": False,
                "array": (spread["max"].to_numpy() - rows[metric.column].to_numpy()),
                "arrayminus": (rows[metric.column].to_numpy() - spread["min"].to_numpy()),
                "thickness": 1,
                "width": 3,
            }
        symbol = style.setup_symbol(position)
        colour = style.setup_colour(setup, position)
        figure.add_scatter(
            x=rows[x],
            y=rows[metric.column],
            name=style.legend_name(setup),
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
            marker={
                "size": 9,
                "color": colour,
                "symbol": [symbol if stable else f"{symbol}-open" for stable in rows["stable"]],
                "line": {"width": 2, "color": colour},
            },
            error_y=bars,
            hovertemplate="%{y:.4g}",
        )
    subtitle = "" if frame["stable"].all() else f"<br><sup>{HOLLOW}</sup>"
    style.layout(figure, title=metric.title + subtitle, x=x_title, y=metric.axis)
    if metric.log:
        figure.update_yaxes(type="log", dtick=1, minor={"showgrid": False})
    else:
        figure.update_yaxes(rangemode="tozero")
    return figure


def token_sources(frame: pd.DataFrame, *, x: str, x_title: str) -> go.Figure:
    """Stack the shares of prompt tokens by where they came from, a panel a set-up."""
    shares = source_shares(frame, x)
    setups = list(frame["setup"].unique())
    figure = make_subplots(
        rows=1,
        cols=len(setups),
        shared_yaxes=True,
        horizontal_spacing=0.02,
        subplot_titles=[style.setup_name(setup) for setup in setups],
    )
    for column, (name, colour, pattern) in SOURCES.items():
        for position, setup in enumerate(setups):
            rows = shares[shares["setup"] == setup].sort_values(x)
            own = style.FILE_STORE if column == "hit_tokens_remote" and setup == "pnfs" else colour
            figure.add_bar(
                x=[short(value) for value in rows[x]],
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
    figure.update_xaxes(type="category", title_text="")
    figure.update_xaxes(title_text=x_title, row=1, col=(len(setups) + 1) // 2)
    figure.update_yaxes(title_text="% of prompt tokens", range=[0, 100], row=1, col=1)
    return figure


def live_sessions(frame: pd.DataFrame, *, x: str, x_title: str) -> go.Figure:
    """Draw how many sessions are alive at a time: mean as a line, most as dots."""
    figure = go.Figure()
    medians = median_over_seeds(frame, x)
    for position, setup in enumerate(frame["setup"].unique()):
        rows = medians[medians["setup"] == setup].sort_values(x)
        colour = style.setup_colour(setup, position)
        symbol = style.setup_symbol(position)
        for column, dash, word in (
            ("sessions_mean", "solid", "mean"),
            ("sessions_max", "dot", "most"),
        ):
            figure.add_scatter(
                x=rows[x],
                y=rows[column],
                name=style.legend_name(setup)
                if word == "mean"
                else f"{style.legend_name(setup)}, most",
                legendgroup=setup,
                showlegend=word == "mean",
                mode="lines+markers",
                line={"color": colour, "dash": dash, "width": 2.5 if word == "mean" else 1.5},
                marker={"symbol": symbol, "size": 8 if word == "mean" else 5, "color": colour},
                hovertemplate="%{y:.0f}",
            )
    style.layout(
        figure,
        title="Live sessions<br><sup>solid: mean over the run; dotted: most at one time</sup>",
        x=x_title,
        y="sessions",
    )
    figure.update_yaxes(rangemode="tozero")
    return figure


def by_context(values: pd.Series) -> list[tuple[int, float]]:
    """List a column by context, shortest first."""
    ordered = values.sort_index()
    return list(zip(ordered.index.astype(int).tolist(), ordered.tolist(), strict=True))


def _first_of_its_colour(column: str, setups: Iterable[str], position: int) -> bool:
    names = list(setups)
    if column != "hit_tokens_remote":
        return position == 0
    same = [i for i, setup in enumerate(names) if (setup == "pnfs") == (names[position] == "pnfs")]
    return position == same[0]
