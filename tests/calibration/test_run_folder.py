"""A run's folder becomes requests that client, engine and log agree on."""

import gzip
import json
import shutil
from pathlib import Path

import pytest

from kvsim.calibration.readers.lmcache_log import Copy
from kvsim.calibration.readers.matching import match_client_rows
from kvsim.calibration.readers.remote_share import remote_chunks
from kvsim.calibration.readers.run_folder import MeasuredRun, arrivals, load_run, steps
from kvsim.errors import CalibrationError

MiB = 2**20


def copy_of(excerpt: Path, folder: Path) -> Path:
    shutil.copytree(excerpt, folder)
    return folder


def test_every_request_is_found(run: MeasuredRun) -> None:
    named = [row for row in run.requests if not row.warmup]
    warmups = [row for row in run.requests if row.warmup]
    assert (len(named), len(warmups)) == (33, 10)
    assert all(row.prompt_tokens == 115 and row.user_id is None for row in warmups)
    assert all(row.user_id is not None and row.hbm_tokens is not None for row in named)
    assert len({(row.user_id, row.round_index) for row in named}) == 33
    assert not any(row.arrival_guessed for row in run.requests)


def test_times_are_seconds_since_the_start(run: MeasuredRun) -> None:
    assert run.epoch_s == pytest.approx(1795530071.802, abs=1e-3)
    assert run.start_s == pytest.approx(3.479, abs=1e-3)
    assert run.end_s == pytest.approx(93.713, abs=1e-3)
    for row in run.requests:
        if row.launch_s is None:
            continue
        assert row.ttft_s is not None
        assert row.generation_s is not None
        assert row.scheduled_s is not None
        assert row.engine_finished_s is not None
        assert row.finish_s is not None
        assert run.start_s < row.launch_s < row.arrival_s < row.scheduled_s
        assert row.launch_s + row.ttft_s < row.engine_finished_s < row.finish_s


def test_log_times_share_the_clock(run: MeasuredRun) -> None:
    arrival = {row.request_id: row.arrival_s for row in run.requests}
    first = run.lookups[0]
    assert first.time_s == pytest.approx(arrival[first.request_id], abs=0.005)


def test_a_log_in_another_time_zone(tmp_path: Path, excerpt: Path) -> None:
    folder = copy_of(excerpt, tmp_path / "run")
    text = gzip.decompress((folder / "vllm.log.gz").read_bytes()).decode()
    (folder / "vllm.log.gz").unlink()
    (folder / "vllm.log").write_text(text.replace("2026-11-24 14:", "2026-11-24 19:"))
    moved, plain = load_run(folder), load_run(excerpt)
    assert moved.loads == plain.loads
    assert moved.requests == plain.requests


def test_hits_by_tier(run: MeasuredRun) -> None:
    """The server is new, so each user's first prompt comes from the store, later ones from CPU."""
    for row in run.requests:
        if row.user_id is None:
            continue
        if row.round_index == 1:
            assert row.remote_tokens == row.loaded_tokens
            assert row.loaded_tokens == 11008 - (row.hbm_tokens or 0)
        else:
            assert row.remote_tokens == 0
            assert row.lmcache_tokens == 11008


def test_the_first_chunk_tells_hits_where_no_log_does(tmp_path: Path, excerpt: Path) -> None:
    folder = copy_of(excerpt, tmp_path / "run")
    (folder / "vllm.log.gz").unlink()
    for bare, full in zip(load_run(folder).requests, load_run(excerpt).requests, strict=True):
        assert full.hbm_tokens is not None
        assert bare.hbm_tokens == full.hbm_tokens + full.loaded_tokens


def test_a_lost_engine_row_gets_a_guessed_arrival(tmp_path: Path, excerpt: Path) -> None:
    folder = copy_of(excerpt, tmp_path / "run")
    lines = gzip.decompress((folder / "engine_steps.jsonl.gz").read_bytes()).decode().splitlines()
    ended = [line for line in lines if json.loads(line)["k"] == "r"]
    lost = ended[-3:]
    (folder / "engine_steps.jsonl.gz").unlink()
    kept = [line for line in lines if line not in lost]
    (folder / "engine_steps.jsonl").write_text("\n".join(kept))
    full = {row.request_id: row for row in load_run(excerpt).requests}
    run = load_run(folder)
    guessed = [row for row in run.requests if row.arrival_guessed]
    assert {row.request_id for row in guessed} == {json.loads(line)["id"] for line in lost}
    for row in guessed:
        truth = full[row.request_id]
        assert row.arrival_s == pytest.approx(truth.arrival_s, abs=0.002)
        assert (row.prompt_tokens, row.hbm_tokens) == (truth.prompt_tokens, truth.hbm_tokens)
    assert len(run.requests) == len(full)


def test_without_a_log_the_guess_comes_from_the_client(tmp_path: Path, excerpt: Path) -> None:
    folder = copy_of(excerpt, tmp_path / "run")
    (folder / "vllm.log.gz").unlink()
    lines = gzip.decompress((folder / "engine_steps.jsonl.gz").read_bytes()).decode().splitlines()
    last = max(at for at, line in enumerate(lines) if json.loads(line)["k"] == "r")
    (folder / "engine_steps.jsonl.gz").write_bytes(
        gzip.compress("\n".join(lines[:last] + lines[last + 1 :]).encode())
    )
    (guessed,) = (row for row in load_run(folder).requests if row.arrival_guessed)
    assert guessed.request_id is None
    assert guessed.launch_s is not None
    assert guessed.arrival_s > guessed.launch_s


def test_a_folder_without_engine_steps(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="engine_steps"):
        load_run(tmp_path)


def test_a_run_whose_client_never_ended(tmp_path: Path, excerpt: Path) -> None:
    folder = copy_of(excerpt, tmp_path / "run")
    (folder / "client_requests.csv").unlink()
    run = load_run(folder)
    assert run.summary is None
    assert sum(row.warmup for row in run.requests) == 10
    users = [user for _, _, _, user, _, _ in arrivals(run)]
    assert len(set(users)) == len(users)


def test_arrivals_and_steps_are_plain_rows(run: MeasuredRun) -> None:
    rows = arrivals(run)
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert rows[10][1:] == (11031, 100, 16, 1, False)
    assert [row[3] for row in rows[:10]] == list(range(-1, -11, -1))
    events = steps(run)
    assert events[0][:2] == ("s", 0)
    assert events[0][6] == ((0, 115),)
    assert {event[0] for event in events} == {"s", "u"}
    assert len(events) == len(run.events)


def test_requests_of_one_instant_pair_in_order(run: MeasuredRun) -> None:
    """While the first load ran, five equal prompts piled up half a second apart."""
    together = [row for row in run.requests if 6.2 < row.arrival_s < 6.3]
    launches = [row.launch_s for row in together if row.launch_s is not None]
    assert len(launches) == 5
    assert launches == sorted(launches)


def test_no_candidate_of_that_length() -> None:
    assert match_client_rows([], []) == {}


def load(chunks: int, duration_ms: float, name: str) -> Copy:
    return Copy(name, 10.0, chunks * 256, chunks * 36.0 * MiB, duration_ms / 1000)


def test_slow_loads_are_remote_where_the_store_keeps_no_log() -> None:
    stores = [Copy("s", 1.0, 8192, 32 * 36.0 * MiB, 0.031, 0.030)]
    loads = [load(40, 110, "a"), load(46, 127, "b"), load(40, 31, "cpu"), load(41, 45, "mixed")]
    found = remote_chunks(loads, stores, [], has_remote=True)
    assert (found["a"], found["b"]) == (40, 46)
    assert "cpu" not in found
    assert found.get("mixed", 0) < 10
    assert remote_chunks(loads, stores, [], has_remote=False) == {}
