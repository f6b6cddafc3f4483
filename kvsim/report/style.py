"""Colours, names and layout that every chart shares.

Okabe-Ito colours, which colour-blind readers can tell apart. A tier has one colour everywhere; a
set-up has the colour of the tier that it adds, and a marker of its own for prints in grey.
"""

from typing import Final

import plotly.graph_objects as go

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
    """Return the marker of a set-up."""
    return _SYMBOLS[position % len(_SYMBOLS)]


def layout(figure: go.Figure, *, title: str, x: str, y: str, height: int = 400) -> go.Figure:
    """Give a figure its title, axes and the look of all charts, on either background."""
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "ticks": "outside"}
    figure.update_layout(
        title={
            "text": title,
            "x": 0,
            "y": 0.945,
            "yref": "container",
            "yanchor": "top",
            "pad": {"l": 12},
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
