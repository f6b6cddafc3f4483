"""Charts of sweeps, searches and sensitivities: a table of runs in, a plotly figure out."""

from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from kvsim.plan.pareto import Direction, pareto_front
from kvsim.report import style
from kvsim.report.charts.metrics import metric_of, path_title, path_value_text
from kvsim.report.sweep_table import median_over_seeds

HOLLOW: Final = "hollow: arrivals outrun the service"
MAIN: Final = ("finished_per_s", "ttft_s_mean", "decode_tokens_per_s_mean")
"""What people compare first."""
CONTEXT: Final = "workload.user_history_prompt"
LOAD: Final = "workload.qps"
_MOST_TICKS: Final = 5
_MOST_NUMBERS: Final = 120
"""Cells of a heatmap up to which each shows its number."""


def metric_by_context(
    table: pd.DataFrame, metric: str, *, x: str = CONTEXT, x_title: str | None = None
) -> go.Figure:
    """Draw one metric over x for each set-up: median line, bars from least to most over seeds."""
    shown = metric_of(metric)
    figure = go.Figure()
    several = table["seed"].nunique() > 1
    medians = median_over_seeds(table, x)
    for position, setup in enumerate(table["setup"].unique()):
        rows = medians[medians["setup"] == setup].sort_values(x)
        bars = None
        if several:
            spread = table[table["setup"] == setup].groupby(x)[metric].agg(["min", "max"])
            bars = {
                "type": "data",
                "symmetric": False,
                "array": (spread["max"].to_numpy() - rows[metric].to_numpy()),
                "arrayminus": (rows[metric].to_numpy() - spread["min"].to_numpy()),
                "thickness": 1,
                "width": 3,
            }
        figure.add_scatter(
            x=rows[x],
            y=rows[metric],
            name=style.legend_name(setup),
            error_y=bars,
            **_line(setup, position, rows["stable"]),
        )
    subtitle = "" if table["stable"].all() else HOLLOW
    style.layout(
        figure,
        title=style.titled(shown.title, subtitle),
        x=x_title or path_title(x),
        y=shown.axis,
        height=_height(table),
    )
    _tick_sizes(figure, table[x])
    if shown.log:
        style.log_axis(figure, "y", medians[metric])
    else:
        figure.update_yaxes(rangemode="tozero")
    return figure


def live_sessions(
    table: pd.DataFrame, *, x: str = CONTEXT, x_title: str | None = None
) -> go.Figure:
    """Draw how many sessions are alive at a time: mean as a line, most as dots."""
    figure = go.Figure()
    medians = median_over_seeds(table, x)
    for position, setup in enumerate(table["setup"].unique()):
        rows = medians[medians["setup"] == setup].sort_values(x)
        colour = style.setup_colour(setup, position)
        symbol = style.setup_symbol(position)
        name = style.legend_name(setup)
        for column, dash, word in (
            ("sessions_mean", "solid", "mean"),
            ("sessions_max", "dot", "most"),
        ):
            figure.add_scatter(
                x=rows[x],
                y=rows[column],
                name=name if word == "mean" else f"{name}, most",
                legendgroup=setup,
                showlegend=word == "mean",
                mode="lines+markers",
                line={"color": colour, "dash": dash, "width": 2.5 if word == "mean" else 1.5},
                marker={"symbol": symbol, "size": 8 if word == "mean" else 5, "color": colour},
            )
    style.layout(
        figure,
        title=style.titled("Live sessions", "solid: mean over the run; dotted: most at one time"),
        x=x_title or path_title(x),
        y="sessions",
        height=_height(table),
    )
    _tick_sizes(figure, table[x])
    figure.update_yaxes(rangemode="tozero")
    return figure


def goodput_against_load(
    table: pd.DataFrame, *, load: str = LOAD, goodput: str = "goodput_per_s"
) -> go.Figure:
    """Draw how many requests a second are finished in time over how many are asked.

    Without a column of goodput (no promise was given) all finished requests count. A load in
    requests a second gets the line on which nothing is lost.
    """
    column = goodput if goodput in table else "finished_per_s"
    shown = metric_of(column)
    figure = go.Figure()
    medians = median_over_seeds(table, load)
    if load.rpartition(".")[2] == "qps":
        most = float(medians[load].max())
        figure.add_scatter(
            x=[0, most],
            y=[0, most],
            name="all that is asked",
            mode="lines",
            line={"color": style.FIRST, "dash": "dash", "width": 1.5},
            hoverinfo="skip",
        )
    for position, setup in enumerate(table["setup"].unique()):
        rows = medians[medians["setup"] == setup].sort_values(load)
        figure.add_scatter(
            x=rows[load],
            y=rows[column],
            name=style.legend_name(setup),
            **_line(setup, position, rows["stable"]),
        )
    subtitle = "" if table["stable"].all() else HOLLOW
    title = style.titled(f"{shown.title} against load", subtitle)
    y = style.wrapped(shown.axis)
    style.layout(figure, title=title, x=path_title(load), y=y, height=_height(table))
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(rangemode="tozero")
    return figure


def _tick_sizes(figure: go.Figure, values: "pd.Series[Any]") -> None:
    """Write sizes and rates at the x axis with their units, as many as there is room for."""
    path = str(values.name)
    if path.rpartition(".")[2] in ("capacity", "bandwidth"):
        known = sorted(values.unique())
        shown = known[:: -(-len(known) // _MOST_TICKS)]
        texts = [path_value_text(path, value) for value in shown]
        figure.update_xaxes(tickvals=shown, ticktext=texts)


def _height(table: pd.DataFrame) -> int:
    """Leave room for the legend, which has a row a set-up in a narrow chart."""
    return 400 + 26 * max(0, table["setup"].nunique() - 4)


def _line(setup: str, position: int, stable: "pd.Series[bool]") -> dict[str, Any]:
    """Return the look of a set-up's line, its markers hollow where it does not keep up."""
    colour, symbol = style.setup_colour(setup, position), style.setup_symbol(position)
    return {
        "mode": "lines+markers",
        "line": {"color": colour, "width": 2.5},
        "marker": {
            "size": 9,
            "color": colour,
            "symbol": [symbol if one else f"{symbol}-open" for one in stable],
            "line": {"width": 2, "color": colour},
        },
        "hovertemplate": "%{y:.4g}",
    }


def pareto(
    table: pd.DataFrame, *, x: str, y: str, colour: str | None = None, name: str | None = None
) -> go.Figure:
    """Draw designs by two goals, those that nothing beats joined by a line.

    `colour` is a number (say USD a million tokens), `name` the column that hovering shows. Rows
    whose column `feasible` is false are crosses off the frontier, with their `excluded_reason`.
    """
    over, up = metric_of(x), metric_of(y)
    allowed = _flags(table, "feasible", default=True)
    good, bad = table[allowed], table[~allowed]
    ways: dict[str, Direction] = {
        metric.column: "min" if metric.lower_is_better else "max" for metric in (over, up)
    }
    best = good[pareto_front(good, ways)].sort_values([x, y])
    figure = go.Figure()
    if not bad.empty:
        figure.add_scatter(
            x=bad[x],
            y=bad[y],
            name=f"excluded ({len(bad):,})",
            mode="markers",
            marker={"size": 8, "symbol": "x-thin", "line": {"width": 2, "color": style.FIRST}},
            text=_texts(bad, name, "excluded_reason"),
            hovertemplate="%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
        )
    figure.add_scatter(
        x=best[x],
        y=best[y],
        name="nothing is better in both",
        mode="lines",
        line={"color": style.TEXT, "width": 2, "dash": "dot"},
        hoverinfo="skip",
    )
    marker: dict[str, Any] = {"size": 10, "line": {"width": 1, "color": style.TEXT}}
    if colour is None:
        marker["color"] = style.HBM
    else:
        marker |= {
            "color": good[colour],
            "colorscale": "Cividis",
            "showscale": True,
            "colorbar": style.colour_bar(metric_of(colour).unit or path_title(colour)),
        }
    figure.add_scatter(
        x=good[x],
        y=good[y],
        name=f"designs ({len(good):,})",
        mode="markers",
        marker=marker,
        text=_texts(good, name, None),
        hovertemplate="%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
    )
    against = f"against {over.name}"
    style.layout(
        figure,
        title=style.titled(up.title, against),
        x=style.wrapped(over.label),
        y=style.wrapped(up.label),
        height=480,
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    figure.update_layout(hovermode="closest")
    for axis, metric in (("x", over), ("y", up)):
        if metric.log:
            style.log_axis(figure, axis, table[metric.column])
    return figure


def _flags(table: pd.DataFrame, column: str, *, default: bool) -> "pd.Series[bool]":
    if column not in table:
        return pd.Series(default, index=table.index, dtype=bool)
    return table[column].fillna(default).astype(bool)


def _texts(table: pd.DataFrame, name: str | None, reason: str | None) -> list[str]:
    """Name each row for hovering, with the reason why it is out."""
    named = table[name].astype(str) if name else pd.Series("", index=table.index)
    if reason is None or reason not in table:
        return named.tolist()
    why = table[reason].fillna("").astype(str)
    return [f"{one}: {because}" for one, because in zip(named, why, strict=True)]


def heatmap(table: pd.DataFrame, *, x: str, y: str, value: str, name: str = "") -> go.Figure:
    """Colour a metric over two swept values (mean of the rows that share a cell).

    Outlined are the cells whose runs all keep the promise, or keep up where nothing is promised.
    `name` says under the title whose cells these are.
    """
    shown = metric_of(value)
    cells = table.pivot_table(index=y, columns=x, values=value, aggfunc="mean", sort=False)
    if pd.api.types.is_numeric_dtype(table[y]):
        cells = cells.sort_index()
    if pd.api.types.is_numeric_dtype(table[x]):
        cells = cells.sort_index(axis="columns")
    numbers = cells.to_numpy(dtype=float)
    known = numbers[np.isfinite(numbers)]
    log = bool(known.size) and bool(known.min() > 0) and bool(known.max() > 20 * known.min())
    figure = go.Figure()
    figure.add_heatmap(
        x=_labels(cells.columns, x),
        y=_labels(cells.index, y),
        z=np.log10(numbers) if log else numbers,
        customdata=numbers,
        text=[
            [f"{number:.3g}" if np.isfinite(number) else "" for number in row] for row in numbers
        ],
        texttemplate="%{text}" if numbers.size <= _MOST_NUMBERS else None,
        colorscale="Cividis_r" if shown.lower_is_better else "Cividis",
        colorbar=style.colour_bar(shown.unit, log_of=known if log else None),
        hovertemplate="%{x}, %{y}: %{customdata:.4g}<extra></extra>",
        xgap=1,
        ygap=1,
    )
    subtitle = "; ".join(filter(None, (name, _outline_kept(figure, table, cells))))
    title = style.titled(shown.title, subtitle)
    height = max(360, 180 + 34 * len(cells))
    style.layout(figure, title=title, x=path_title(x), y=path_title(y), height=height)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(type="category", automargin=True)
    figure.update_yaxes(type="category", automargin=True)
    return figure


def _outline_kept(figure: go.Figure, table: pd.DataFrame, cells: pd.DataFrame) -> str:
    """Draw a line around the cells in which all runs do what they should, and say what that is."""
    flags = [column for column in ("slo_passed", "stable") if column in table]
    if not flags:
        return ""
    fine = table.assign(fine=table[flags].astype(bool).all(axis=1).astype(float))
    inside = fine.pivot_table(
        index=cells.index.name, columns=cells.columns.name, values="fine", aggfunc="min"
    ).reindex(index=cells.index, columns=cells.columns)
    kept = inside.to_numpy() == 1
    words = "the promise is kept" if "slo_passed" in flags else "answers keep up"
    if kept.all() or not kept.any():
        return f"{words} {'everywhere' if kept.all() else 'nowhere'} here"
    for step, along in ((kept, "y"), (kept.T, "x")):
        around = np.pad(step, ((0, 0), (1, 1)))
        for row, place in np.argwhere(around[:, 1:] != around[:, :-1]):
            # Categories of an axis count from 0, so a cell's edges lie between whole numbers.
            across = "x" if along == "y" else "y"
            figure.add_shape(
                type="line",
                line={"color": style.AGAIN, "width": 3},
                **{f"{across}{end}": place - 0.5 for end in (0, 1)},
                **{f"{along}{end}": row + end - 0.5 for end in (0, 1)},
            )
    return f"outlined: {words}"


def _labels(values: pd.Index, path: str) -> list[str]:
    return [path_value_text(path, value) for value in values]


def tornado(rows: pd.DataFrame, metric: str) -> go.Figure:
    """Draw how far each input moves a metric, the widest at the top.

    `rows` has what, low, high (the metric where the input is at its low and its high end), base,
    and, if it names the ends, low_value and high_value.
    """
    shown = metric_of(metric)
    known = rows.dropna(subset=["low", "high"])
    span = (known[["low", "high", "base"]].max(axis=1)) - known[["low", "high", "base"]].min(axis=1)
    ordered = known.assign(span=span).sort_values("span", kind="stable")
    base = float(rows["base"].iloc[0])
    figure = go.Figure()
    for end, name, colour in (
        ("low", "input lower", style.AGAIN),
        ("high", "input higher", style.HBM),
    ):
        values = f"{end}_value"
        figure.add_bar(
            x=ordered[end] - base,
            y=ordered["what"],
            base=base,
            orientation="h",
            name=name,
            marker={"color": colour, "opacity": 0.85, "line": {"width": 0}},
            customdata=np.column_stack(
                [ordered[end], ordered[values] if values in ordered else [""] * len(ordered)]
            ),
            hovertemplate="%{y} %{customdata[1]}: %{customdata[0]:.4g}<extra></extra>",
        )
    figure.add_vline(x=base, line={"color": style.TEXT, "width": 1.5})
    style.layout(
        figure,
        title=style.titled(f"What moves it: {shown.title}", f"line: as described, {base:.4g}"),
        x=metric_of(metric).unit,
        y="",
        height=170 + 34 * len(ordered),
    )
    figure.update_layout(barmode="overlay", bargap=0.3, hovermode="closest")
    figure.update_yaxes(automargin=True)
    return figure
