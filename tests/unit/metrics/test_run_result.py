"""The result of a run: its tables, and a folder that is whole and equal for equal runs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal, assert_series_equal

from kvsim.errors import ConfigError
from kvsim.metrics import result as result_module
from kvsim.metrics.recorder import Recorder
from kvsim.metrics.result import RunResult, load_remote_keys
from kvsim.spec.scenario import Scenario

TABLES = ["requests", "steps", "transfers", "tiers", "sessions"]
FILES = sorted(
    [f"{name}.parquet" for name in [*TABLES, "remote"]]
    + ["scenario.yaml", "summary.json", "manifest.json"]
)
QA = {
    "kind": "multi_round_qa",
    "num_users": 15,
    "num_rounds": 20,
    "qps": 2,
    "shared_system_prompt": 1000,
    "user_history_prompt": 10_000,
    "answer_len": 100,
    "time": "10s",
}
TIER = {
    "instance": 0,
    "tier": "hbm",
    "capacity_bytes": 100,
    "mean_used_bytes": 50.5,
    "peak_used_bytes": 90,
    "lookups": 3,
    "hit_tokens": 512,
    "evicted_bytes": 0,
}


@pytest.fixture(scope="module")
def scenario():
    parts = {"model": "qwen3-8b", "gpu": "h100-sxm-80gb", "host": "xeon-pcie5"}
    return Scenario.from_dict({"name": "small", "workload": QA, "seed": 4} | parts)


@pytest.fixture
def make_result(scenario, request_of):
    def make(*, wall_s=0.25, requests=None):
        recorder = Recorder()
        recorder.requests += requests or [
            request_of(0, warmup=True, session_id=-1),
            request_of(1, arrival_s=1.0),
            request_of(2, arrival_s=2.0, finished_s=None, outcome="running"),
            request_of(
                3,
                arrival_s=3.0,
                instance=None,
                engine_s=None,
                scheduled_s=None,
                first_token_s=None,
                finished_s=None,
                outcome="rejected",
            ),
        ]
        recorder.step(0, 0.5, 3, 0.8, 8, 9000, 0, 0.0, 0.001)
        recorder.transfer(0, "remote", "read", 36 << 20, 1, 0.1, 0.2, 0.3)
        recorder.live_sessions(0.0, 16)
        return RunResult.from_run(
            scenario,
            recorder,
            recorder.request_columns(),
            [TIER, TIER | {"tier": "cpu"}],
            [(1016, 1), (0, 0), (1016, 0)],
            start_s=0.5,
            end_s=12.0,
            events=99,
            wall_s=wall_s,
            died=False,
        )

    return make


def contents(folder, *, without=()):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in without}


# Tables


def test_parts_of_a_request_add_up(make_result):
    row = make_result().requests.loc[1]
    assert row[["ttft_s", "e2e_s", "queue_s", "load_s", "prefill_s", "decode_s"]].tolist() == [
        2.5,
        4.5,
        1.0,
        0.5,
        1.0,
        2.0,
    ]
    assert row["tpot_s"] == pytest.approx(0.02)


def test_parts_that_never_happened_are_missing(make_result):
    requests = make_result().requests
    assert requests.loc[2, ["tpot_s", "e2e_s", "decode_s", "finished_s"]].isna().all()
    assert requests.loc[2, "ttft_s"] == 2.5
    assert requests.loc[3, ["instance", "ttft_s", "queue_s", "prefill_s"]].isna().all()
    assert requests["instance"].dtype == pd.Int64Dtype()


def test_rows_keep_their_order(make_result):
    result = make_result()
    assert result.requests["request_id"].tolist() == [0, 1, 2, 3]
    assert result.tiers["tier"].tolist() == ["hbm", "cpu"]
    assert result.transfers.loc[0, "n_bytes"] == 36 << 20
    assert result.steps.loc[0, "num_steps"] == 3
    assert result.sessions.loc[0, "live"] == 16


def test_empty_run_has_empty_tables(scenario, tmp_path):
    result = RunResult.from_run(
        scenario,
        Recorder(),
        Recorder().request_columns(),
        [],
        [],
        start_s=0,
        end_s=0,
        events=0,
        wall_s=0,
        died=True,
    )
    result.save(tmp_path / "run")
    loaded = RunResult.load(tmp_path / "run")
    for name in TABLES:
        assert len(getattr(loaded, name)) == 0
        assert_frame_equal(getattr(loaded, name), getattr(result, name))
    assert load_remote_keys(tmp_path / "run") == []


def test_summary_is_one_row_named_as_the_scenario(make_result):
    result = make_result()
    assert result.summary().to_dict() == result.summary_dict()
    assert result.summary().name == "small"
    assert result.summary()["launched"] == 3


def test_result_needs_no_pandas_until_a_table_is_asked_for():
    code = (
        "import sys; from kvsim.metrics.recorder import Recorder;"
        "from kvsim.metrics.result import RunResult; from kvsim.spec.scenario import Scenario;"
        f"s = Scenario.from_dict({{'name': 'x', 'model': 'qwen3-8b', 'gpu': 'h100-sxm-80gb',"
        f" 'host': 'xeon-pcie5', 'workload': {QA!r}}});"
        "r = RunResult.from_run(s, Recorder(), Recorder().request_columns(), [], [], start_s=0,"
        " end_s=1, events=0, wall_s=0, died=False); r.summary_dict();"
        "slow = {'pandas', 'pyarrow', 'scipy', 'plotly'} & set(sys.modules); assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


# Folder


def test_saved_run_comes_back_equal(make_result, tmp_path):
    result = make_result()
    result.save(tmp_path / "deep" / "run")
    loaded = RunResult.load(tmp_path / "deep" / "run")
    for name in TABLES:
        assert_frame_equal(getattr(loaded, name), getattr(result, name))
    assert_series_equal(loaded.summary(), result.summary())
    assert loaded.scenario == result.scenario
    assert loaded.manifest == result.manifest
    assert list(loaded.summary_dict()) == list(result.summary_dict())
    assert sorted(path.name for path in (tmp_path / "deep" / "run").iterdir()) == FILES


def test_loaded_run_is_saved_as_it_was(make_result, tmp_path):
    make_result().save(tmp_path / "a")
    RunResult.load(tmp_path / "a").save(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_equal_runs_give_equal_bytes(make_result, tmp_path):
    first = make_result(wall_s=0.1)
    assert first.requests is first.requests
    first.save(tmp_path / "a")
    make_result(wall_s=9.9).save(tmp_path / "b")
    for folder in ("a", "b"):
        assert b"pandas" not in (tmp_path / folder / "requests.parquet").read_bytes()
    without = ["manifest.json"]
    assert contents(tmp_path / "a", without=without) == contents(tmp_path / "b", without=without)


def test_remote_content_is_sorted(make_result, tmp_path):
    make_result().save(tmp_path / "run")
    assert load_remote_keys(tmp_path / "run") == [(0, 0), (1016, 0), (1016, 1)]


def test_earlier_run_is_replaced(make_result, request_of, tmp_path):
    make_result().save(tmp_path / "run")
    (tmp_path / "run" / "note.txt").write_text("of the earlier run")
    make_result(requests=[request_of(7)]).save(tmp_path / "run")
    assert RunResult.load(tmp_path / "run").requests["request_id"].tolist() == [7]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert "note.txt" not in contents(tmp_path / "run")


def test_empty_folder_is_used(make_result, tmp_path):
    (tmp_path / "run").mkdir()
    make_result().save(tmp_path / "run")
    assert RunResult.load(tmp_path / "run").manifest.events == 99


def test_other_folder_is_left_alone(make_result, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ConfigError, match="no saved run"):
        make_result().save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_save_leaves_what_was_there(make_result, tmp_path, monkeypatch, error):
    make_result().save(tmp_path / "run")
    before = contents(tmp_path / "run")
    write = result_module.write_table

    def fail_at_tiers(table, path):
        if path.name == "tiers.parquet":
            raise error
        write(table, path)

    monkeypatch.setattr(result_module, "write_table", fail_at_tiers)
    expected = ConfigError if isinstance(error, OSError) else KeyboardInterrupt
    for folder in ("run", "new"):
        with pytest.raises(expected):
            make_result().save(tmp_path / folder)
    assert contents(tmp_path / "run") == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_unwritable_place_is_a_config_error(make_result, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "run", tmp_path / "file"):
        with pytest.raises(ConfigError, match=r"file.*; name a (new )?folder"):
            make_result().save(folder)


def test_no_run_is_a_config_error(make_result, tmp_path):
    with pytest.raises(ConfigError, match=r"no saved run \(manifest.json is missing\)"):
        RunResult.load(tmp_path)
    make_result().save(tmp_path / "run")
    (tmp_path / "run" / "steps.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match=r"steps.parquet: cannot be read"):
        RunResult.load(tmp_path / "run")
    (tmp_path / "run" / "steps.parquet").unlink()
    with pytest.raises(ConfigError, match=r"steps.parquet: cannot be read"):
        RunResult.load(tmp_path / "run")


@pytest.mark.parametrize("name", ["manifest.json", "summary.json", "scenario.yaml"])
def test_damaged_run_is_a_config_error(make_result, tmp_path, name):
    make_result().save(tmp_path / "run")
    (tmp_path / "run" / name).write_text("{")
    with pytest.raises(ConfigError, match="run"):
        RunResult.load(tmp_path / "run")


def test_table_of_another_version_is_a_config_error(make_result, tmp_path):
    make_result().save(tmp_path / "run")
    pd.DataFrame({"node_id": np.arange(3)}).to_parquet(tmp_path / "run" / "remote.parquet")
    with pytest.raises(ConfigError, match="columns are not those"):
        load_remote_keys(tmp_path / "run")
