"""PNG files: same names for the same charts, and one clear line without a browser."""

from pathlib import Path

import plotly.graph_objects as go
import pytest

from kvsim.errors import ConfigError
from kvsim.report import png

needs_browser = pytest.mark.skipif(
    png.find_browser() is None, reason="no Chrome or Chromium on this machine"
)


def figure(title: str) -> go.Figure:
    return go.Figure(go.Bar(x=[1], y=[2]), layout={"title": {"text": title}, "height": 200})


def test_names_are_places_and_titles() -> None:
    figures = [figure("A b, c<br><sup>d</sup>"), figure("A b, c"), figure("É")]
    assert png.png_names(figures) == ["01-a-b-c.png", "02-a-b-c.png", "03-chart.png"]


@needs_browser
def test_a_browser_draws_every_chart(tmp_path: Path) -> None:
    paths = png.write_pngs([figure("one"), figure("two")], tmp_path / "charts")
    assert [path.name for path in paths] == ["01-one.png", "02-two.png"]
    for path in paths:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG")
        width = int.from_bytes(content[16:20], "big")
        assert width == 2 * png.WIDTH_PX


def test_without_a_browser_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", "/no/such/browser")
    with pytest.raises(ConfigError, match="BROWSER_PATH=/path/to/chromium"):
        png.check_png()


def test_without_kaleido_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"kvsim\[png\]"):
        png.check_png()
