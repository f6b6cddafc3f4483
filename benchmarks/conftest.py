"""The table that `make bench` prints."""

from __future__ import annotations

from typing import Any

import pytest

COLUMNS = ("wall_s", "x real time", "requests/s", "us/request", "events", "RSS MB")
_ROWS: dict[str, dict[str, Any]] = {}


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Any:
    """Keep what one benchmark found for the table at the end."""

    def keep(**figures: Any) -> None:
        _ROWS[request.node.name.removeprefix("test_")] = figures

    return keep


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--million", action="store_true", help="run the million requests too")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not _ROWS:
        return
    width = max(map(len, _ROWS))
    terminalreporter.write_line("")
    terminalreporter.write_line(" " * width + "".join(f"{name:>13}" for name in COLUMNS))
    for name, row in _ROWS.items():
        cells = (f"{_text(row.get(column)):>13}" for column in COLUMNS)
        terminalreporter.write_line(f"{name:<{width}}" + "".join(cells))


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.3f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"
