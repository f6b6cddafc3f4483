"""The dashboard in a test: its pages without a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def app() -> AppTest:
    """Open the first page with the first preset."""
    opened = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    assert not opened.exception
    return opened
