"""Charts as PNG files, drawn by a Chrome or Chromium on this machine through kaleido."""

import os
import re
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import plotly.graph_objects as go

from kvsim.errors import ConfigError

WIDTH_PX: Final = 1100
_SCALE: Final = 2
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NEEDS: Final = (
    "PNG files need kaleido (pip install 'kvsim[png]') and Chrome or Chromium: install one, or "
    "name it with BROWSER_PATH=/path/to/chromium"
)


def find_browser() -> str | None:
    """Return the browser that BROWSER_PATH names, else one that is on the search path."""
    given = os.environ.get("BROWSER_PATH")
    if given:
        return given if Path(given).is_file() else None
    return next(filter(None, map(shutil.which, _BROWSERS)), None)


def check_png() -> str:
    """Return the browser that draws, or say in one line what is missing."""
    browser = find_browser() if find_spec("kaleido") else None
    if browser is None:
        raise ConfigError(NEEDS)
    return browser


def png_names(figures: Sequence[go.Figure]) -> list[str]:
    """Name the file of each chart by its place on the page and its title."""
    return [f"{place:02d}-{_slug(figure)}.png" for place, figure in enumerate(figures, start=1)]


def write_pngs(figures: Sequence[go.Figure], folder: Path) -> list[Path]:
    """Write every chart as a PNG file on white; ConfigError says what is missing."""
    browser = check_png()
    import kaleido

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error.strerror})") from None
    paths = [folder / name for name in png_names(figures)]
    drawings = [
        {
            "fig": go.Figure(figure).update_layout(paper_bgcolor="white", font_color="#1f2430"),
            "path": str(path),
            "opts": {"format": "png", "width": WIDTH_PX, "scale": _SCALE},
        }
        for figure, path in zip(figures, paths, strict=True)
    ]
    try:
        kaleido.write_fig_from_object_sync(drawings, kopts={"path": browser, "mathjax": False})
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{browser}: cannot draw ({error}); {NEEDS}") from None
    return paths


def _slug(figure: go.Figure) -> str:
    title = (figure.layout.title.text or "chart").partition("<br>")[0].lower()
    return re.sub(r"[^a-z0-9]+", "-", title).strip("-") or "chart"
