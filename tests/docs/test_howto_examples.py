"""The examples of the how-to pages on sweeps and searches run as they are printed."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kvsim.cli import main
from kvsim.cli.slo import SLO_FAILED

ROOT = Path(__file__).parents[2]
PAGES = ("howto-sweep.md", "howto-search.md")


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with the experiments, whose runs are short there."""
    shutil.copytree(
        ROOT / "experiments", tmp_path / "experiments", ignore=lambda *_: ["validation"]
    )
    one = tmp_path / "experiments" / "storagegrid-one.yaml"
    text = one.read_text(encoding="utf-8")
    assert "time: 1200s" in text
    one.write_text(text.replace("time: 1200s", "time: 6s"), encoding="utf-8")
    grid = tmp_path / "experiments" / "storagegrid.yaml"
    text = grid.read_text(encoding="utf-8")
    grid.write_text(re.sub(r"\[1000, .*\]", "[1000, 5000]", text), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_files(page: str, shortened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in blocks(page, "yaml"):
        name = re.match(r"# (\S+\.yaml)\n", text)
        assert name is not None
        (shortened / name[1]).write_text(text, encoding="utf-8")
    commands = [
        line.removeprefix("$ ") for text in blocks(page, "console") for line in text.splitlines()
    ]
    assert len(commands) > 4
    for command in commands:
        program, *words = shlex.split(command)
        if program == "kvsim":
            jobs = ["--jobs", "1"] if words[0] == "sweep" else []
            assert main([*words, *jobs]) in (0, SLO_FAILED), capsys.readouterr().err
        else:
            assert program == "python"
            done = subprocess.run(
                [sys.executable, *words], capture_output=True, text=True, check=True
            )
            assert "goodput_per_s" in done.stdout


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
@pytest.mark.usefixtures("shortened")
def test_python(page: str) -> None:
    for text in blocks(page, "python"):
        exec(compile(text, page, "exec"), {})
