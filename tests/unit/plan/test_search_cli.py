"""`kvsim search`, as a shell sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from kvsim.cli import main
from kvsim.cli.slo import SLO_FAILED
from kvsim.spec import Scenario

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def one(qa: Scenario, tmp_path: Path) -> str:
    path = tmp_path / "one.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(qa.replace({"workload.time": 20}).to_dict(), file)
    return str(path)


@pytest.fixture
def search_file(one: str, tmp_path: Path) -> str:
    path = tmp_path / "search.yaml"
    path.write_text(
        "name: what-to-buy\nscenario: one.yaml\nchanges: {workload.qps: 1}\n"
        "space: {instances: [1, 2], offload.cpu.capacity: {low: 10GiB, high: 20GiB, step: 10GiB}}\n"
        "slo: ttft:p95<3s\nobjectives: [usd_per_hour, ttft_s_mean]\nconstraints: [gpus<=2]\n",
        encoding="utf-8",
    )
    return str(path)


def test_a_search_file_gives_a_verdict_and_a_table(search_file: str, capsys: Capture) -> None:
    assert main(["search", search_file]) == 0
    printed = capsys.readouterr()
    assert "Cheapest design that keeps the SLO (ttft:p95 < 3 s) and gpus<=2" in " ".join(
        printed.out.split()
    )
    assert "10GiB" in printed.out
    assert "front" in printed.out
    assert max(map(len, printed.out.splitlines())) <= 80


def test_all_trials_are_kept_and_a_search_goes_on(
    search_file: str, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert main(["search", search_file, "--out", str(out), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["exhaustive"]
    assert first["best"]["excluded_reason"] is None
    table = pd.read_parquet(out / "trials.parquet")
    assert len(table) == len(pd.read_csv(out / "trials.csv")) == 4
    assert json.loads((out / "search.json").read_text()) == first
    assert main(["search", search_file, "--out", str(out)]) == 2
    assert "--resume" in capsys.readouterr().err
    trials = out / "trials.jsonl"
    lines = trials.read_text().splitlines()
    trials.write_text("\n".join(lines[:3]) + "\n")
    assert main(["search", search_file, "--out", str(out), "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert trials.read_text().splitlines() == lines


def test_the_largest_load(one: str, tmp_path: Path, capsys: Capture) -> None:
    words = ["search", one, "--maximise", "workload.qps", "--low", "0.5", "--high", "4"]
    promise = ["--slo", "ttft:3000 tpot:200"]
    assert main([*words, *promise, "--json", "--out", str(tmp_path / "o")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert 0.5 <= answer["value"] <= 4
    assert len(pd.read_csv(tmp_path / "o" / "loads.csv")) == len(answer["tried"])
    assert main([*words, "--slo", '[{"p99_ttft_ms": "<=1"}]']) == SLO_FAILED
    assert "Not even workload.qps = 0.5" in capsys.readouterr().out


def test_no_design_is_exit_code_3(one: str, capsys: Capture) -> None:
    words = ["search", one, "--space", "instances=[1]", "--slo", "ttft:p50<1ms"]
    assert main(words) == SLO_FAILED
    assert "No design that was tried keeps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--space", "instances"], "--space 'instances' is not an assignment"),
        (["--space", "instances=3"], "give a list of values"),
        (["--space", "instances={low: 1}"], "give choices, or both low and high"),
        (["--space", "instances={low: 1, hihg: 2}"], "did you mean 'high'"),
        (["--space", "offload.cpu.capacity={low: 1GiB, high: 2 bananas}"], "neither a number"),
        (["--space", "instence=[1]"], "unknown key"),
        (["--slo", "ttft"], "--slo: "),
        (["--objective", "cost"], "does not exist"),
        (["--constraint", "gpus"], "write e.g."),
        (["--trials", "0"], "--trials"),
        (["--prices", "nowhere"], "no price list"),
        (["--price", "gpu_usd=1"], "unknown key"),
        (["--resume"], "goes with --out"),
        (["--low", "1"], "--maximise"),
        (["--maximise", "workload.qps", "--trials", "3"], "--maximise"),
        (["--maximise", "router"], "is no number"),
        (["--maximise", "workload.qps", "--low", "5", "--high", "1"], "no load between"),
        (["--out", "/proc/nowhere"], "cannot write"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(one: str, arguments: list[str], words: str, capsys: Capture) -> None:
    own = arguments[0] in ("--space", "--maximise", "--low")
    given = [] if own else ["--space", "instances=[1]"]
    assert main(["search", one, *given, *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert len(printed.err.splitlines()) == 1


def test_bad_search_files_are_one_line(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "search.yaml"
    for text, words in (
        ("space: {}\n", "search.yaml"),
        ("name: a\nscenario: x.yaml\nspace: {}\n", "space"),
        ("name: a\nscenario: x.yaml\nspace: {a: [1]}\nobjektives: []\n", "'objectives'"),
        ("name: a\nscenario: x.yaml\nspace: {a: [1]}\n", "x.yaml: no such file"),
        ("name: a\nscenario: x.yaml\nspace: {a: [1]}\nslo: bananas\n", "slo"),
    ):
        path.write_text(text, encoding="utf-8")
        assert main(["search", str(path)]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert len(error.splitlines()) == 1
