"""The contract of the command line: what goes where, and how it ends."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kvsim.cli import main

ROOT = Path(__file__).parents[3]
ONE = str(ROOT / "experiments" / "storagegrid-one.yaml")
RECORDED = str(ROOT / "experiments" / "validation" / "runs" / "cpu40GB_131k_pool__qa10k")
SHORT = ["--set", "workload.time=20", "--set", "workload.num_users=3"]
SWEEP = """
name: tiny
scenario: {one}
changes: {{workload.time: 20, workload.num_users: 3, workload.user_history_prompt: 1000}}
setups:
  gpu: {{offload.connector: none, offload.remote: null}}
  cpu: {{offload.remote: null}}
grid: {{workload.user_history_prompt: [500, 1000]}}
"""

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def sweep_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SWEEP.format(one=ONE), encoding="utf-8")
    return path


def test_run_prints_one_json_object(capsys: Capture) -> None:
    assert main(["run", ONE, *SHORT, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    hits = sum(summary[f"hit_tokens_{tier}"] for tier in ("hbm", "cpu", "remote"))
    assert hits + summary["computed_tokens"] == summary["prompt_tokens"]
    assert summary["wall_s"] > 0


def test_run_prints_tables_and_whether_it_is_stable(capsys: Capture) -> None:
    assert main(["run", ONE, *SHORT]) == 0
    out = capsys.readouterr().out
    for words in ("processing speed", "computed, first time", "remote", "stable"):
        assert words in out


def test_run_saves_tables(tmp_path: Path, capsys: Capture) -> None:
    assert main(["run", ONE, *SHORT, "--seed", "5", "--out", str(tmp_path / "a" / "b")]) == 0
    saved = {path.name for path in (tmp_path / "a" / "b").iterdir()}
    assert {
        "scenario.yaml",
        "requests.parquet",
        "steps.parquet",
        "transfers.parquet",
        "tiers.parquet",
        "summary.json",
        "manifest.json",
    } <= saved
    assert json.loads((tmp_path / "a" / "b" / "manifest.json").read_text())["seed"] == 5
    assert main(["run", str(tmp_path / "a" / "b" / "scenario.yaml"), "--json"]) == 0


def test_json_loads_no_tables_library() -> None:
    program = (
        "import sys\nfrom kvsim.cli import main\n"
        f"main(['run', {ONE!r}, *{SHORT!r}, '--json'])\n"
        "heavy = {'pandas', 'pyarrow', 'scipy', 'plotly', 'streamlit', 'joblib'}\n"
        "print(heavy & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "set()"


def test_sweep_writes_a_table_and_resumes(
    sweep_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert main(["sweep", str(sweep_file), "--out", str(out), "--jobs", "2"]) == 0
    first = {name: (out / name).read_bytes() for name in ("sweep.parquet", "sweep.csv")}
    runs = sorted((out / "runs").iterdir())
    assert len(runs) == 4
    runs[0].unlink()
    kept = runs[1].stat().st_mtime_ns
    capsys.readouterr()
    arguments = ["sweep", str(sweep_file), "--out", str(out), "--jobs", "1", "--resume", "--json"]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert len(result["rows"]) == 4
    assert runs[1].stat().st_mtime_ns == kept
    assert first == {name: (out / name).read_bytes() for name in first}


def test_sweep_reports_failed_runs(
    sweep_file: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = sys.modules["kvsim.simulate"]
    real = simulation.simulate

    def sometimes(scenario: object) -> object:
        if getattr(scenario, "offload").connector == "none":  # noqa: B009
            raise RuntimeError("out of luck")
        return real(scenario)

    monkeypatch.setattr(simulation, "simulate", sometimes)
    out = tmp_path / "out"
    assert main(["sweep", str(sweep_file), "--out", str(out), "--jobs", "1"]) == 1
    printed = capsys.readouterr()
    assert "2 of 4 runs" in printed.out
    assert printed.err.count("RuntimeError: out of luck") == 2
    assert "Traceback" not in printed.err
    assert len(list((out / "runs").glob("*.error.txt"))) == 2


def test_interrupted_sweep_keeps_what_is_done(
    sweep_file: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = sys.modules["kvsim.simulate"]
    real = simulation.simulate
    done = []

    def twice(scenario: object) -> object:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(scenario)
        return real(scenario)

    monkeypatch.setattr(simulation, "simulate", twice)
    arguments = ["sweep", str(sweep_file), "--out", str(tmp_path / "out"), "--jobs", "1"]
    assert main(arguments) == 130
    assert "2 of 4 runs are kept; go on with --resume" in capsys.readouterr().err
    monkeypatch.setattr(simulation, "simulate", real)
    assert main([*arguments, "--resume"]) == 0


def test_dry_run_counts_and_writes_nothing(
    sweep_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    arguments = ["sweep", str(sweep_file), "--seeds", "3", "--dry-run"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert re.search(r"tiny: 12 rows, 12 different runs, 12 to do, about", capsys.readouterr().out)
    assert not (tmp_path / "out").exists()


def test_report_of_a_sweep(sweep_file: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    assert main(["sweep", str(sweep_file), "--out", str(out), "--jobs", "1"]) == 0
    assert main(["report", str(out)]) == 0
    assert "Sweep tiny" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["models", "gpus", "hosts", "storage"])
def test_profiles_fit_a_terminal(kind: str, capsys: Capture) -> None:
    assert main(["profiles", kind]) == 0
    out = capsys.readouterr().out
    assert "sources" in out
    assert max(len(line) for line in out.splitlines()) <= 80


def test_one_profile_shows_each_number_with_its_source(capsys: Capture) -> None:
    assert main(["profiles", "gpus", "h100-sxm-80gb"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"hbm_bandwidth .*datasheet", out)


def test_profiles_of_the_user_go_first(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "gpus").mkdir()
    text = (ROOT / "profiles" / "gpus" / "l40s.yaml").read_text(encoding="utf-8")
    (tmp_path / "gpus" / "mine.yaml").write_text(text.replace("name: l40s", "name: mine"))
    assert main(["profiles", "gpus", "--profiles", str(tmp_path)]) == 0
    assert "mine" in capsys.readouterr().out
    arguments = ["run", ONE, *SHORT, "--set", "gpu=mine", "--json"]
    assert main([*arguments, "--profiles", str(tmp_path)]) == 0
    assert main(arguments) == 2


def test_compare_wants_a_scenario(tmp_path: Path, capsys: Capture) -> None:
    assert main(["compare", str(tmp_path)]) == 2
    assert "name one with --scenario" in capsys.readouterr().err


@pytest.mark.parametrize(("share", "code"), [(0.9995, 0), (0.998, 1)])
def test_replay_ends_by_its_share(
    share: float, code: int, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = SimpleNamespace(share=share, steps=8_129, mismatches=[])
    module = SimpleNamespace(replay_run=lambda run_dir, scenario: found)
    monkeypatch.setitem(sys.modules, "kvsim.calibration.replay", module)
    assert main(["replay", str(tmp_path), "--scenario", ONE]) == code
    assert f"{share:.4%} of 8,129 steps" in capsys.readouterr().out


def test_version_and_help(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"kvsim \d+\.\d+\.\d+\n", capsys.readouterr().out)
    assert main([]) == 0
    assert "sweep" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "no-such-file.yaml"],
        ["run", ONE, "--set", "workload.qps=-1"],
        ["run", ONE, "--set", "workload.qps=nan"],
        ["run", ONE, "--set", "workload.num_user=3"],
        ["run", ONE, "--set", "offload.cpu.capacity=12 bananas"],
        ["run", ONE, "--set", "offload.cpu.capacity=-5GiB"],
        ["run", ONE, "--set", "model=no-such-model"],
        ["run", ONE, "--set", "model=llama-3.1-70b"],
        ["run", ONE, "--set", "offload.connector=lmcache_mp"],
        ["run", ONE, "--set", "workload.user_history_prompt=99999999"],
        ["run", ONE, "--set", "nonsense"],
        ["run", ONE, "--set", "a=[1"],
        ["run", ONE, "--out", "/proc/nowhere"],
        ["run", ONE, "--out", str(ROOT / "experiments")],
        ["run", ONE, "--out", ONE],
        ["run", ONE, "--seed", "x"],
        ["run", ONE, "--seed", "-1"],
        ["run", ONE, "--bogus"],
        ["run"],
        ["bogus"],
        ["sweep", ONE],
        ["sweep", "no-such-file.yaml"],
        ["sweep", str(ROOT / "experiments" / "storagegrid.yaml"), "--jobs", "0"],
        ["sweep", str(ROOT / "experiments" / "storagegrid.yaml"), "--out", "/proc/nowhere"],
        ["report", "no-such-folder"],
        ["report", ONE],
        ["report", "no-such-folder", "another"],
        ["report", "no-such-folder", "--out", "no/such/page.html"],
        ["sensitivity", "no-such-file.yaml"],
        ["sensitivity", ONE, "--change", "load"],
        ["sensitivity", ONE, "--html", "no/such/page.html"],
        ["compare", RECORDED, "--html", "no/such/page.html"],
        ["report", str(ROOT / "experiments")],
        ["profiles", "bananas"],
        ["profiles", "gpus", "banana"],
        ["compare", "no-such-folder"],
        ["replay", ONE],
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], capsys: Capture) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    "content",
    [b"", b"a: [1", b"- 1\n- 2\n", b"name: x\nbananas: 3\n", b"\x00\x01\x02", b"\xff\xfe\x00"],
)
@pytest.mark.parametrize("command", ["run", "sweep"])
def test_unreadable_files_are_one_line(
    command: str, content: bytes, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    assert main([command, str(path)]) == 2
    error = capsys.readouterr().err
    assert "file.yaml" in error
    assert len(error.splitlines()) == 1
