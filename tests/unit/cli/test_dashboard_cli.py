"""`kvsim app` starts the dashboard of the checkout, or of the installed package."""

from __future__ import annotations

import signal
import subprocess
from importlib import resources
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from kvsim.cli import main
from kvsim.cli.dashboard import entry_script

ROOT = Path(__file__).parents[3]


def test_streamlit_is_started_where_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    server = MagicMock()
    server.return_value.__enter__.return_value.wait.return_value = 0
    monkeypatch.setattr(subprocess, "Popen", server)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["app", "--port", "8600", "--no-browser"]) == 0
    (words,) = server.call_args.args
    assert words[1:4] == ["-m", "streamlit", "run"]
    assert words[4] == str(ROOT / "app.py")
    assert words[words.index("--server.port") + 1] == "8600"
    assert words[words.index("--server.address") + 1] == "localhost"
    assert words[words.index("--server.headless") + 1] == "true"


def test_a_port_is_a_port(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["app", "--port", "0"]) == 2
    assert "--port" in capsys.readouterr().err


def test_a_package_has_its_own_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resources, "files", lambda _: tmp_path / "kvsim")
    assert entry_script() == tmp_path / "kvsim" / "app" / "serve.py"
