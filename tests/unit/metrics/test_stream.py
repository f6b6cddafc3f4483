"""Tables written while a run goes on: the same bytes, and rows that do not stay in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvsim.errors import ConfigError
from kvsim.metrics import recorder as recorder_module
from kvsim.metrics import stream as stream_module
from kvsim.metrics import tables as tables_module
from kvsim.metrics.recorder import Recorder
from kvsim.metrics.result import RunResult
from kvsim.simulate import World, simulate
from kvsim.spec import Scenario, load_scenario
from kvsim.workload.request import NO_END, Request

ROOT = Path(__file__).parents[3]


@pytest.fixture
def scenario() -> Scenario:
    changes = {"workload.time": 60, "workload.user_history_prompt": 3_000}
    return load_scenario(ROOT / "experiments" / "storagegrid-one.yaml", changes=changes)


@pytest.fixture(params=[7, 64, 1 << 16])
def row_group(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    for module in (recorder_module, stream_module, tables_module):
        monkeypatch.setattr(module, "ROW_GROUP", request.param)
    monkeypatch.setattr(recorder_module, "_LOOK_EVERY", 3)
    return int(request.param)


def test_streamed_files_have_the_same_bytes(
    scenario: Scenario, row_group: int, tmp_path: Path
) -> None:
    whole = simulate(scenario)
    whole.save(tmp_path / "whole")
    streamed = simulate(scenario, save_to=tmp_path / "streamed")
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "streamed").iterdir())
    for name in names:
        if name != "manifest.json":
            one, other = ((tmp_path / folder / name) for folder in ("whole", "streamed"))
            assert one.read_bytes() == other.read_bytes(), name
    assert streamed.summary_dict() == whole.summary_dict()
    assert streamed.requests.equals(whole.requests)
    assert RunResult.load(tmp_path / "streamed").steps.equals(whole.steps)


def test_a_run_that_fails_leaves_no_folder(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "note").touch()
    with pytest.raises(ConfigError, match="no saved run"):
        simulate(scenario, save_to=tmp_path / "taken")

    def fail(self: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(World, "run", fail)
    with pytest.raises(RuntimeError, match="broken"):
        simulate(scenario, save_to=tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


class Kept:
    def __init__(self) -> None:
        self.rows: dict[str, list[Any]] = {}

    def take(self, name: str, rows: Any) -> None:
        self.rows.setdefault(name, []).append(list(rows))


def request_of(request_id: int) -> Request:
    return Request(request_id, 1, 1, 10, 1, ((1, NO_END),), warmup=False, arrival_s=0.0)


@pytest.mark.parametrize("row_group", [4], indirect=True)
def test_a_request_is_handed_over_when_all_before_it_are_over(row_group: int) -> None:
    kept = Kept()
    recorder = Recorder(sink=kept)
    requests = [request_of(i) for i in range(20)]
    for request in requests[:10]:
        recorder.request(request)
        if request.request_id:
            request.outcome = "finished"
    assert kept.rows == {}
    requests[0].outcome = "failed"
    for request in requests[10:]:
        recorder.request(request)
    handed = [request.request_id for group in kept.rows["requests"] for request in group]
    assert handed == [*range(8)]
    assert [request.request_id for request in recorder.requests] == [*range(8, 20)]
    columns = recorder.request_columns()
    assert columns["failed"].sum() == 1
    assert columns["finished"].sum() == 9
    assert len(columns["arrival_s"]) == 20
