"""Measured data take the shape of a simulated run's tables."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from kvsim.calibration.observation import (
    Observation,
    log_levels,
    log_steps,
    observe_client,
    observe_run,
    scrape_levels,
)
from kvsim.calibration.readers.aiperf import read_aiperf
from kvsim.calibration.readers.engine_steps import ScheduledStep
from kvsim.calibration.readers.prometheus import read_prometheus
from kvsim.calibration.readers.run_folder import MeasuredRun
from kvsim.calibration.readers.vllm_bench import read_vllm_bench
from kvsim.calibration.readers.vllm_log import read_vllm_log
from kvsim.metrics.recorder import Recorder
from kvsim.metrics.tables import build_tables, to_frame

TOOLS = Path(__file__).parents[1] / "data" / "tools"


@pytest.fixture(scope="module")
def seen(run: MeasuredRun) -> Observation:
    return observe_run(run)


@pytest.mark.parametrize("name", ["requests", "steps", "transfers"])
def test_tables_have_the_columns_of_a_simulated_run(seen: Observation, name: str) -> None:
    simulated = to_frame(build_tables(Recorder(), [], [])[name])
    measured: pd.DataFrame = getattr(seen, name)
    assert len(measured) > 0
    assert list(measured.columns) == list(simulated.columns)
    assert dict(measured.dtypes) == dict(simulated.dtypes)


def test_requests_are_the_client_s(run: MeasuredRun, seen: Observation) -> None:
    frame = seen.requests
    assert frame["warmup"].sum() == 10
    counted = frame[~frame["warmup"]]
    assert (counted["outcome"] == "finished").all()
    assert (counted["arrival_s"] < counted["engine_s"]).all()
    assert (counted["engine_s"] < counted["scheduled_s"]).all()
    parts = ["computed_tokens", "hit_tokens_hbm", "hit_tokens_cpu", "hit_tokens_remote"]
    assert (counted[parts].sum(axis=1) == counted["prompt_tokens"]).all()
    ttft = {(r.user_id, r.round_index): r.ttft_s for r in run.requests}
    for row in counted.itertuples():
        assert row.ttft_s == pytest.approx(ttft[row.session_id, row.round_index])


def test_the_summary_uses_the_client_s_definitions(run: MeasuredRun, seen: Observation) -> None:
    figures = seen.summary_dict()
    client = [row for row in run.requests if row.ttft_s is not None]
    mean = sum(row.ttft_s or 0.0 for row in client) / len(client)
    assert figures["ttft_s_mean"] == pytest.approx(mean)
    rate = sum(r.output_tokens / (r.generation_s or 1.0) for r in client) / len(client)
    assert figures["decode_tokens_per_s_mean"] == pytest.approx(rate)
    assert figures["recomputed_evicted_tokens"] is None
    assert figures["sessions_mean"] is None
    assert seen.summary()["finished"] == 33


@pytest.fixture(scope="module")
def storing(run: MeasuredRun) -> MeasuredRun:
    """Return the excerpt, whose store was full already, with a made-up store a load."""
    stores = [replace(one, time_s=one.time_s + 0.02, duration_s=0.01) for one in run.loads]
    return replace(run, stores=tuple(stores))


def test_steps_hold_the_copies_of_their_time(storing: MeasuredRun) -> None:
    steps = observe_run(storing).steps
    assert (steps["num_steps"] == 1).all()
    assert (steps["end_s"] > steps["start_s"]).all()
    loaded = sum(one.duration_s for one in storing.loads)
    assert steps["load_s"].sum() == pytest.approx(loaded)
    assert steps["store_s"].sum() == pytest.approx(0.01 * len(storing.stores), rel=0.1)
    loading = steps[steps["load_s"] > 0]
    # A load is a wait inside the step of its request's first chunk.
    assert (loading["prefill_tokens"] > 0).all()
    assert (loading["end_s"] - loading["start_s"] > loading["load_s"]).all()


def test_transfers_by_tier(storing: MeasuredRun) -> None:
    transfers = observe_run(storing).transfers
    counts = transfers.groupby(["tier", "direction"]).size()
    gets = [row for row in storing.object_requests if row.method == "GET"]
    assert counts["cpu", "read"] == len(storing.loads)
    assert counts["cpu", "write"] == len(storing.stores)
    assert counts["remote", "read"] == len(gets)
    assert (transfers["finished_s"] >= transfers["started_s"]).all()
    loads = transfers[(transfers["tier"] == "cpu") & (transfers["direction"] == "read")]
    assert (loads["n_bytes"] / loads["objects"]).median() == pytest.approx(36 * 2**20, rel=0.03)


def test_the_engine_s_own_queue(run: MeasuredRun, seen: Observation) -> None:
    assert list(seen.load.columns) == ["time_s", "instance", "running", "waiting"]
    assert len(seen.load) == sum(isinstance(event, ScheduledStep) for event in run.events)


def test_without_client_rows_the_engine_tells_the_first_token(run: MeasuredRun) -> None:
    blank = {"launch_s": None, "ttft_s": None, "generation_s": None, "finish_s": None}
    blind = replace(run, requests=tuple(replace(row, **blank) for row in run.requests))
    seen = observe_run(blind)
    told = 0
    for row, request in zip(run.requests, seen.recorder.requests, strict=True):
        if (
            row.launch_s is not None
            and row.ttft_s is not None
            and request.first_token_s is not None
        ):
            told += 1
            # What lies between is the way back to the client.
            assert 0 < row.launch_s + row.ttft_s - request.first_token_s < 0.06
    assert told >= 30
    assert (seen.requests["outcome"] == "finished").all()


def test_an_engine_that_died(run: MeasuredRun) -> None:
    last = max(event.time_s for event in run.events)
    stuck = replace(
        next(event for event in run.events if isinstance(event, ScheduledStep)),
        index=10**6,
        time_s=last + 40,
        running=3,
        waiting=2,
    )
    seen = observe_run(replace(run, summary=None, events=(*run.events, stuck)))
    assert seen.died
    assert not seen.summary_dict()["stable"]
    assert not observe_run(run).died


def test_a_load_generator_s_rows() -> None:
    seen = observe_client(read_aiperf(TOOLS / "aiperf_profile_export.jsonl"), name="aiperf")
    frame = seen.requests
    assert len(frame) == 8
    assert frame["arrival_s"].min() == 0
    assert sorted(frame["session_id"].unique()) == [1, 2, 3, 4]
    figures = seen.summary_dict()
    assert (figures["finished"], figures["failed"]) == (6, 2)
    assert figures["ttft_s_mean"] == pytest.approx(0.055, abs=0.015)
    assert figures["hit_tokens_cpu"] is None
    assert figures["token_hit_rate"] is None
    assert figures["queue_s_mean"] is None
    assert seen.steps.empty
    bench = observe_client(read_vllm_bench(TOOLS / "vllm_bench.json"), name="bench")
    assert bench.summary_dict()["ttft_s_mean"] == pytest.approx(0.16)
    assert list(bench.requests["session_id"]) == [1, 2, 3]


def test_levels_from_scrapes_and_logs() -> None:
    scrapes = read_prometheus(TOOLS / "h100_prometheus.txt.gz")
    levels = scrape_levels(scrapes, epoch_s=1795528944.0)
    assert levels[0] == (pytest.approx(0.878, abs=1e-2), 0, 0, 0)
    assert levels[1][2:] == (2, 0)
    log = read_vllm_log(TOOLS / "h100_vllm.log.gz")
    assert len(log_levels(log, epoch_s=1795528944.0)) == 11
    steps = log_steps(log, epoch_s=1795528944.0).steps
    assert steps[1][4:7] == (1, 0, 1035)
