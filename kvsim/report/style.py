"""Colours, names and layout that every chart shares.

Okabe-Ito colours, which colour-blind readers can tell apart. A tier has one colour everywhere; a
set-up has the colour of the tier that it adds, and a marker of its own for prints in grey.
"""

import math
import textwrap
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

HBM: Final = "#0072B2"
CPU: Final = "#E69F00"
OBJECT_STORE: Final = "#009E73"
FILE_STORE: Final = "#CC79A7"
FIRST: Final = "#9A9A9A"
AGAIN: Final = "#D55E00"

SETUP_NAMES: Final = {
    "gpu": "GPU only",
    "cpu": "GPU + CPU",
    "s3": "GPU + CPU + S3",
    "pnfs": "GPU + CPU + pNFS",
}
_LEGEND_NAMES: Final = {"cpu": "+ CPU", "s3": "+ CPU + S3", "pnfs": "+ CPU + pNFS"}
_SETUP_COLOURS: Final = {"gpu": HBM, "cpu": CPU, "s3": OBJECT_STORE, "pnfs": FILE_STORE}
_MORE_COLOURS: Final = ("#56B4E9", AGAIN, "#7F7F7F", HBM, CPU, OBJECT_STORE, FILE_STORE)
_SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
TEXT: Final = "#6B7280"
_TITLE_PX: Final = {False: 14, True: 28}
"""Space above a title without and with a subtitle, which moves it up."""
TEXT_ON_DARK: Final = "#A7AFBC"
"""For pages that know that they are dark."""
GRID: Final = "rgba(128, 128, 128, 0.25)"


def setup_name(setup: str) -> str:
    """Write a set-up in words."""
    return SETUP_NAMES.get(setup, setup)


def legend_name(setup: str) -> str:
    """Write a set-up as short as a legend needs it, by what it adds."""
    return _LEGEND_NAMES.get(setup, setup_name(setup))


def setup_colour(setup: str, position: int) -> str:
    """Return the colour of a set-up; one without a tier of its own takes the next free one."""
    return _SETUP_COLOURS.get(setup, _MORE_COLOURS[position % len(_MORE_COLOURS)])


def setup_symbol(position: int) -> str:
    """Return the marker of a set-up; where colours come round again, markers do not."""
    return _SYMBOLS[(position + position // len(_MORE_COLOURS)) % len(_SYMBOLS)]


def store_colour(figure: go.Figure, medium: str | None) -> go.Figure:
    """Give the shared tier of a finished figure the colour of a store of files, if it is one."""
    if medium == "file":
        own = {OBJECT_STORE: FILE_STORE}
        for trace in figure.data:
            for place in filter(None, (trace.marker, getattr(trace, "line", None))):
                colour = place.color
                several = isinstance(colour, tuple)
                place.color = (
                    [own.get(c, c) for c in colour] if several else own.get(colour, colour)
                )
            if getattr(trace, "fillcolor", None) in own:
                trace.fillcolor = FILE_STORE
    return figure


def layout(figure: go.Figure, *, title: str, x: str, y: str, height: int = 400) -> go.Figure:
    """Give a figure its title, axes and the look of all charts, on either background."""
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "ticks": "outside"}
    figure.update_layout(
        title={
            "text": title,
            "x": 0,
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"l": 12, "t": _TITLE_PX["<br>" in title]},
            "font": {"size": 16},
        },
        font={"family": FONT, "color": TEXT, "size": 13},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        height=height,
        margin={"l": 64, "r": 16, "t": 64, "b": 56},
        legend={
            "orientation": "h",
            "x": 0,
            "xref": "container",
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "title": None,
            "traceorder": "normal",
        },
        hovermode="x unified",
    )
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    figure.update_xaxes(title_text=x)
    figure.update_yaxes(title_text=y, row=None, col=None)
    return figure


def titled(title: str, subtitle: str = "") -> str:
    """Put a smaller second line under a title."""
    return f"{title}<br><sup>{subtitle}</sup>" if subtitle else title


def retitle(figure: go.Figure, title: str, subtitle: str) -> go.Figure:
    """Give a finished figure another title and subtitle."""
    return figure.update_layout(title_text=titled(title, subtitle), title_pad_t=_TITLE_PX[True])


def tick(value: float) -> str:
    """Write a number as short as an axis needs it: 0.05, 20, 64k, 1.5M."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.6g}"


def wrapped(text: str, width: int = 30) -> str:
    """Break a long axis title into lines that fit narrow charts."""
    return "<br>".join(textwrap.wrap(text, width))


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Choose round numbers of a log axis, fewer the wider it is, so that they stay apart."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**n for n in range(first, last + 1) for step in steps]
        inside = [value for value in ticks if low * 0.999 <= value <= high * 1.001]
        if len(inside) <= most:
            return inside
    every = -(-len(inside) // most)
    return inside[::every]


def log_axis(figure: go.Figure, axis: str, values: ArrayLike) -> None:
    """Make an axis ("x" or "y") logarithmic, its ticks fit for the values and for narrow charts."""
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known) & (known > 0)]
    settings: dict[str, Any] = {"type": "log", "minor": {"showgrid": False}}
    if known.size:
        low, high = float(known.min()), float(known.max())
        if high < 1.5 * low:
            low, high = low / 1.25, high * 1.25
        ticks = log_ticks(low, high)
        settings |= {"tickvals": ticks, "ticktext": [tick(value) for value in ticks]}
        pad = 0.04 * math.log10(high / low)
        settings["range"] = [math.log10(low) - pad, math.log10(high) + pad]
    figure.update_layout({f"{axis}axis": settings})


def log_mark(figure: go.Figure, x: float, words: str, *, left: bool = False) -> None:
    """Mark a place on a logarithmic x axis with a dotted line and words that stand beside it."""
    line = {"color": TEXT, "width": 1, "dash": "dot"}
    figure.add_shape(type="line", x0=x, x1=x, y0=0, y1=1, xref="x", yref="y domain", line=line)
    figure.add_annotation(
        x=math.log10(x),  # annotations of a log axis count in powers of ten
        y=0.02,
        yref="y domain",
        text=words,
        textangle=-90,
        xanchor="right" if left else "left",
        yanchor="bottom",
        showarrow=False,
    )


def colour_bar(title: str, log_of: ArrayLike | None = None) -> dict[str, Any]:
    """Return the look of a colour scale, of powers of ten if it shows logarithms of values."""
    bar: dict[str, Any] = {
        "title": {"text": wrapped(title, 14), "side": "top"},
        "thickness": 14,
        "outlinewidth": 0,
    }
    if log_of is not None:
        values = np.asarray(log_of, dtype=float)
        ticks = log_ticks(float(values.min()), float(values.max()))
        bar |= {
            "tickvals": [math.log10(value) for value in ticks],
            "ticktext": [tick(value) for value in ticks],
        }
    return bar


def stacked_bars(figure: go.Figure, count: int, *, title: str, x: str) -> go.Figure:
    """Lay out one stacked bar a row, the first on top; a single one needs no name beside it."""
    layout(figure, title=title, x=x, y="", height=230 + 44 * count)
    figure.update_layout(barmode="stack", bargap=0.35, hovermode="closest")
    figure.update_yaxes(autorange="reversed", automargin=True)
    if count == 1:
        figure.update_yaxes(showticklabels=False, ticks="")
    return figure
