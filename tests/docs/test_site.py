"""The documentation site builds without a warning and fetches nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FETCHED = re.compile(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="https?://[^"]*"')


def test_site_builds_and_needs_no_network(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="the docs dependency group is not installed")
    pytest.importorskip("mkdocs_jupyter", reason="the docs dependency group is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(
        [*command, "--site-dir", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        found = FETCHED.search(page.read_text(encoding="utf-8"))
        assert found is None, f"{page.name}: {found[0]}"
