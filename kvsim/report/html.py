"""Write one HTML file that needs no network: style, tables, and plotly.js once."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import plotly.graph_objects as go
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from kvsim.errors import ConfigError
from kvsim.report.style import FONT

_CSS = """
:root { color-scheme: light dark; --text: #1f2430; --soft: #5b6472; --page: #ffffff;
  --card: #f6f7f9; --line: #d9dde3; --grid: rgba(110, 120, 135, .22); --good: #007a58;
  --bad: #b84a00; --open: #5b6472; }
@media (prefers-color-scheme: dark) { :root { --text: #e8eaee; --soft: #a7afbc; --page: #14171c;
  --card: #1c2027; --line: #323842; --grid: rgba(170, 180, 195, .2); --good: #35c496;
  --bad: #ff9a52; --open: #a7afbc; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1280px; padding: 24px 20px 64px; background: var(--page);
  color: var(--text); font: 16px/1.55 FONT; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
 h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; }
p { max-width: 78ch; } .soft { color: var(--soft); }
.lead { font-size: 1.1rem; border-left: 4px solid #009E73; padding: .2rem 0 .2rem 1rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(380px, 1fr)); gap: 16px;
  margin-bottom: 16px; }
.charts.pairs { grid-template-columns: repeat(auto-fill, minmax(max(380px, 40%), 1fr)); }
.chart { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  min-width: 0; overflow: hidden; margin-bottom: 16px; }
.charts .chart { margin-bottom: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem; }
th, td { text-align: left; padding: .42rem .7rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { font-weight: 600; } td.num, th.num { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
th.num { white-space: normal; }
.good, .bad, .open, .date { white-space: nowrap; }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.open { color: var(--open); } a { color: inherit; }
details { margin: .6rem 0; } summary { cursor: pointer; font-weight: 600; padding: .3rem 0; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow: auto;
  padding: .8rem 1rem; font-size: .85rem; max-height: 70vh; }
.main-svg text[style*="rgb(107, 114, 128)"] { fill: var(--text) !important; }
.gridlayer path { stroke: var(--grid) !important; }
"""


@dataclass(frozen=True)
class Cell:
    """One table cell: its text and how it looks."""

    text: str
    look: str = ""
    """Classes of the page: num, good, bad, open, date."""
    link: str | None = None


@dataclass
class Page:
    """A page under construction, top to bottom."""

    title: str
    figures: list[go.Figure] = field(default_factory=list)
    """The charts so far, in their order."""
    _parts: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        """Start a section."""
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def paragraph(self, text: str, look: str = "") -> None:
        """Add a paragraph."""
        self._parts.append(f'<p class="{look}">{escape(text)}</p>')

    def table(
        self, header: Sequence[Cell | str], rows: Iterable[Sequence[Cell | str]], caption: str = ""
    ) -> None:
        """Add a table; plain strings are cells without a look."""
        head = "".join(_cell(cell, "th") for cell in header)
        body = "".join(f"<tr>{''.join(_cell(cell, 'td') for cell in row)}</tr>\n" for row in rows)
        about = f"<caption>{escape(caption)}</caption>" if caption else ""
        self._parts.append(
            f'<div class="scroll"><table>{about}<thead><tr>{head}</tr></thead>\n'
            f"<tbody>{body}</tbody></table></div>"
        )

    def verbatim(self, text: str) -> None:
        """Add a text whose lines and spaces stay as they are, such as a file."""
        self._parts.append(f"<pre>{escape(text)}</pre>")

    @contextmanager
    def folded(self, summary: str) -> Iterator[None]:
        """Fold what is added meanwhile away under a line that opens it."""
        self._parts.append(f"<details><summary>{escape(summary)}</summary>")
        yield
        self._parts.append("</details>")

    def charts(self, *figures: go.Figure) -> None:
        """Add charts side by side, one under the other where the page is narrow."""
        inside = "".join(self._chart(figure) for figure in figures)
        look = "charts pairs" if len(figures) in (2, 4) else "charts"
        self._parts.append(f'<div class="{look}">{inside}</div>' if len(figures) > 1 else inside)

    def text(self) -> str:
        """Return the page as HTML."""
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self.title)}</title>\n<style>{_CSS.replace('FONT', FONT)}</style>\n"
            f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n"
            f"<h1>{escape(self.title)}</h1>\n" + "\n".join(self._parts) + "\n</body>\n</html>\n"
        )

    def write(self, path: Path) -> None:
        """Write the page."""
        try:
            path.write_text(self.text(), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error

    def _chart(self, figure: go.Figure) -> str:
        self.figures.append(figure)
        drawn: str = to_html(
            figure,
            full_html=False,
            include_plotlyjs=False,
            div_id=f"chart-{len(self.figures)}",
            config={"displayModeBar": False, "responsive": True},
        )
        return f'<div class="chart">{drawn}</div>'


def _cell(cell: Cell | str, tag: str) -> str:
    if isinstance(cell, str):
        cell = Cell(cell)
    text = escape(cell.text)
    if cell.link:
        text = f'<a href="{escape(cell.link)}">{text}</a>'
    look = f' class="{cell.look}"' if cell.look else ""
    return f"<{tag}{look}>{text}</{tag}>"
