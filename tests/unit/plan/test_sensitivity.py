"""One input at a time: each end is the run that it says it is."""

import json
from pathlib import Path

import pytest

from kvsim.cli import main
from kvsim.errors import ConfigError
from kvsim.plan.sensitivity import STEPS, sensitivities
from kvsim.simulate import simulate
from kvsim.spec.load import load_scenario
from kvsim.spec.scenario import Scenario

ONE = Path(__file__).parents[3] / "experiments" / "storagegrid-one.yaml"
SHORT = {"workload.time": 20, "workload.num_users": 3, "workload.user_history_prompt": 2_000}


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario(ONE, changes=SHORT)


def test_ends_are_the_runs_with_the_input_changed(scenario: Scenario) -> None:
    rows = sensitivities(
        scenario, changes={"GPU compute": (0.5, 2.0), "workload.qps": (0.8, 1.25)}
    ).set_index("what")
    flops = scenario.gpu.peak_flops
    for what, end, changed in (
        ("GPU compute", "low", {"gpu.peak_flops": flops / 2}),
        ("GPU compute", "high", {"gpu.peak_flops": flops * 2}),
        ("workload.qps", "high", {"workload.qps": 2.5}),
    ):
        direct = simulate(scenario.replace(changed)).summary_dict()["ttft_s_mean"]
        assert rows.loc[what, end] == direct
    assert set(rows["base"]) == {simulate(scenario).summary_dict()["ttft_s_mean"]}
    assert rows.loc["GPU compute", "low"] > rows.loc["GPU compute", "high"]


def test_all_inputs_that_the_scenario_has(scenario: Scenario) -> None:
    seen: list[tuple[int, int]] = []
    rows = sensitivities(
        scenario,
        metric="finished_per_s",
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert list(rows["what"]) == list(STEPS)
    assert seen == [(done, 17) for done in range(2, 18)]
    assert rows[["low", "high"]].notna().all(axis=None)


def test_without_offload_its_inputs_are_left_out(scenario: Scenario) -> None:
    plain = scenario.replace({"offload.connector": "none", "offload.remote": None})
    assert list(sensitivities(plain)["what"]) == ["GPU compute", "HBM bandwidth", "load", "context"]


def test_processes_change_nothing(scenario: Scenario) -> None:
    changes = {"load": (0.8, 1.25)}
    one = sensitivities(scenario, changes=changes)
    two = sensitivities(scenario, changes=changes, jobs=2)
    assert one.equals(two)


def test_an_impossible_end_is_a_note(scenario: Scenario) -> None:
    rows = sensitivities(scenario, changes={"context": (0.5, 1e6)})
    assert rows["low"].notna().all()
    assert rows["high"].isna().all()
    assert rows["note"].iloc[0].startswith("x 1e+06: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"metric": "ttft_p99"}, "did you mean 'ttft_s_"),
        ({"changes": {"lod": (0.5, 2.0)}}, "did you mean 'load'"),
        ({"changes": {"load": (2.0, 0.5)}}, "give 0 < low < high"),
    ],
)
def test_bad_questions_are_one_line(
    scenario: Scenario, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        sensitivities(scenario, **arguments)  # type: ignore[arg-type]


def test_command_prints_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = tmp_path / "tornado.html"
    words = ["sensitivity", str(ONE), "--jobs", "1", "--change", "load=0.8,1.25"]
    words += [f"--set={path}={value}" for path, value in SHORT.items()]
    assert main([*words, "--html", str(page)]) == 0
    out = capsys.readouterr().out
    assert "What moves mean time to first token" in out
    assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line) <= 80
    assert "What moves it" in page.read_text(encoding="utf-8")
    assert main([*words, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["rows"][0]["what"] == "load"
    assert main([*words, "--change", "load"]) == 2
    assert main([*words, "--out", "no/such/folder/page.html"]) == 2
