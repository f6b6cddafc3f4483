"""Runs are isolated from each other, kept one by one, and tabulated in the order of the design."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from joblib import Parallel, delayed

from kvsim.errors import SimulationError
from kvsim.spec.scenario import Scenario
from kvsim.sweep import store as store_module
from kvsim.sweep import sweep
from kvsim.sweep.design import Point, expand
from kvsim.sweep.execute import Outcome, estimate_s, execute, run_point, weight
from kvsim.sweep.store import RunStore
from kvsim.sweep.table import read_table, rows, tabulate, write_table


def fake_run(key: str, scenario: Mapping[str, Any]) -> Outcome:
    """Stand in for a run: fails for one value, else gives back what it was asked for."""
    if scenario["workload"]["qps"] == 2:
        return Outcome(key, None, 0.0, error="SimulationError: two", trace="trace")
    summary = {"finished": 1, "ttft_s_mean": float(scenario["workload"]["qps"]), "none": None}
    return Outcome(key, summary, 0.1)


def deadly_run(key: str, scenario: Mapping[str, Any]) -> Outcome:
    """Stand in for a run that kills its process for one value."""
    if scenario["workload"]["qps"] == 2:
        os._exit(1)
    return fake_run(key, scenario)


def points_of(base: Scenario, *qps: float) -> list[Point]:
    return expand(base, grid={"workload.qps": list(qps)})


def test_a_failed_run_leaves_the_others_alone(base: Scenario) -> None:
    outcomes = list(execute(points_of(base, 1, 2, 3), jobs=1, run=fake_run))
    assert [outcome.error is None for outcome in outcomes].count(True) == 2


def test_a_run_that_kills_its_process_fails_alone(base: Scenario) -> None:
    points = points_of(base, 1, 2, 3, 4, 5, 6)
    outcomes = {o.key: o for o in execute(points, jobs=2, run=deadly_run)}
    assert len(outcomes) == 6
    failed = [point.values["workload.qps"] for point in points if outcomes[point.key].error]
    assert failed == [2]
    assert "died" in (outcomes[points[1].key].error or "")


def test_equal_scenarios_run_once(base: Scenario) -> None:
    points = expand(base, setups={"a": {}, "b": {}})
    assert len(list(execute(points, jobs=1, run=fake_run))) == 1


def test_longest_runs_go_first(base: Scenario) -> None:
    points = expand(base, grid={"workload.user_history_prompt": [1_000, 9_000, 4_000]})
    order = [outcome.key for outcome in execute(points, jobs=1, run=fake_run)]
    assert order == [points[1].key, points[2].key, points[0].key]


def test_weight_grows_with_tiers(base: Scenario) -> None:
    plain = base.replace({"offload.connector": "none", "offload.remote": None})
    assert weight(plain.to_dict()) < weight(base.to_dict())


def test_table_follows_the_design_not_the_order_of_ending(base: Scenario) -> None:
    points = points_of(base, 1, 3, 4)
    outcomes = list(execute(points, jobs=1, run=fake_run))
    summaries = {outcome.key: outcome.summary or {} for outcome in reversed(outcomes)}
    frame = tabulate(rows(points, summaries))
    assert list(frame.columns) == [
        "setup",
        "workload.qps",
        "seed",
        "finished",
        "ttft_s_mean",
        "none",
    ]
    assert list(frame["ttft_s_mean"]) == [1.0, 3.0, 4.0]
    assert frame["none"].dtype == float


def test_missing_runs_have_no_row(base: Scenario) -> None:
    points = points_of(base, 1, 2)
    summaries = {o.key: o.summary for o in execute(points, jobs=1, run=fake_run) if o.summary}
    assert len(rows(points, summaries)) == 1


def test_table_comes_back_as_it_was(base: Scenario, tmp_path: Path) -> None:
    points = points_of(base, 1, 3)
    summaries = {o.key: o.summary or {} for o in execute(points, jobs=1, run=fake_run)}
    frame = tabulate(rows(points, summaries))
    write_table(frame, tmp_path)
    assert read_table(tmp_path).equals(frame)
    assert (tmp_path / "sweep.csv").read_text(encoding="utf-8").startswith("setup,workload.qps")


def test_swept_mappings_become_text(base: Scenario) -> None:
    points = expand(base, grid={"offload.remote": [{"profile": "nfs-tcp"}]})
    assert rows(points, {points[0].key: {}})[0]["offload.remote"] == '{"profile": "nfs-tcp"}'


def test_real_runs_are_equal_in_one_process_and_in_two(base: Scenario) -> None:
    grid = {"workload.user_history_prompt": [500, 2_000]}
    one = sweep(base, grid, seeds=range(2))
    two = sweep(base, grid, seeds=range(2), jobs=2)
    assert one.equals(two)
    assert list(one["seed"]) == [0, 1, 0, 1]


def test_a_crash_becomes_an_outcome(base: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    def crash(scenario: Scenario) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(sys.modules["kvsim.simulate"], "simulate", crash)
    outcome = run_point("key", base.to_dict())
    assert outcome.error == "RuntimeError: out of luck"
    assert "Traceback" in (outcome.trace or "")
    with pytest.raises(SimulationError, match=r"a run failed \(setup base.*luck"):
        sweep(base, {})


def test_estimate_learns_from_earlier_runs(base: Scenario) -> None:
    points = points_of(base.replace({"workload.time": 20_000}), 1, 3)
    slow = estimate_s(points, jobs=1, measured={points[0].key: 100.0})
    assert slow == pytest.approx(400, abs=5)  # three times the questions, three times the time
    assert estimate_s(points, jobs=2, measured={points[0].key: 100.0}) < slow


class TestStore:
    """One file a run, whole or absent."""

    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        store = RunStore(tmp_path / "runs")
        assert store.read("a") is None
        store.write("a", {"summary": {"x": 0.1}, "wall_s": 2.0})
        record = store.read("a")
        assert record is not None
        assert record["summary"] == {"x": 0.1}
        assert store.wall_times() == {"a": 2.0}
        assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a.json"]

    def test_runs_of_other_code_do_not_count(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = RunStore(tmp_path)
        store.write("a", {"summary": {}, "wall_s": 1.0})
        monkeypatch.setattr(store_module, "code_fingerprint", lambda: "other")
        assert store.read("a") is None
        assert store.wall_times() == {"a": 1.0}

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"code": 1}'])
    def test_damaged_files_do_not_count(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "a.json").write_text(text, encoding="utf-8")
        store = RunStore(tmp_path)
        assert store.read("a") is None
        assert store.wall_times() == {}

    def test_numbers_survive_exactly(self, tmp_path: Path) -> None:
        store = RunStore(tmp_path)
        store.write("a", {"summary": {"x": 0.1 + 0.2}, "wall_s": 0.0})
        assert json.loads((tmp_path / "a.json").read_text())["summary"]["x"] == 0.1 + 0.2


def test_a_caller_may_use_joblib_itself_before_and_after(base: Scenario) -> None:
    points = points_of(base, 1, 3)
    for _ in range(2):
        assert Parallel(n_jobs=2)(delayed(abs)(n) for n in (-1, -2)) == [1, 2]
        assert all(outcome.summary for outcome in execute(points, jobs=2, run=fake_run))
