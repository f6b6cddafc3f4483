"""Readers take real files as they are, count what is damaged and refuse the wrong kind."""

import gzip
from pathlib import Path

import pytest

from kvsim.calibration.readers.client_log import read_client_log
from kvsim.calibration.readers.client_requests import read_client_requests
from kvsim.calibration.readers.engine_steps import (
    EndedRequest,
    ProcessedStep,
    ScheduledStep,
    read_engine_steps,
)
from kvsim.calibration.readers.lmcache_log import read_lmcache_log
from kvsim.calibration.readers.object_server import read_object_server
from kvsim.errors import CalibrationError

S_ROW = (
    '{"k":"s","i":7,"t":10.5,"dt":0.002,"nd":3,"ctx":300,"pre":[[1008,8189]],"run":4,"wait":1,'
    '"free":9}'
)
U_ROW = '{"k":"u","i":7,"t":10.75}'
R_ROW = (
    '{"k":"r","id":"a","arr":10.4,"first":10.5,"fin":11,"p":9197,"o":5,"hit":-1,"ext":-1,"pre":2}'
)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_each_row_is_typed(tmp_path: Path) -> None:
    found = read_engine_steps(write(tmp_path / "x.jsonl", "\n".join([S_ROW, U_ROW, R_ROW])))
    assert found.events == (
        ScheduledStep(7, 10.5, 0.002, 3, 300, ((1008, 8189),), 4, 1, 9),
        ProcessedStep(7, 10.75),
    )
    assert found.requests == (EndedRequest("a", 10.4, 10.5, 11.0, 9197, 5, 2),)
    assert (found.damaged_lines, found.unknown_lines) == (0, 0)


def test_damaged_and_unknown_lines_are_counted(tmp_path: Path) -> None:
    lines = [U_ROW, '{"k":"z"}', "", "[1]", '{"k":"u"}', S_ROW[: len(S_ROW) // 2]]
    found = read_engine_steps(write(tmp_path / "x.jsonl", "\n".join(lines)))
    assert len(found.events) == 1
    assert (found.damaged_lines, found.unknown_lines) == (3, 1)


def test_a_packed_file_may_have_any_name_and_end_early(tmp_path: Path) -> None:
    packed = gzip.compress(("\n".join([U_ROW] * 5000) + "\n").encode())
    (tmp_path / "steps.jsonl").write_bytes(packed)
    assert len(read_engine_steps(tmp_path / "steps.jsonl").events) == 5000
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[:-20])
    assert read_engine_steps(tmp_path / "cut.jsonl.gz").events


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_engine_steps, "a,b\n1,2\n", "no engine step"),
        (read_client_requests, "a,b\n1,2\n", "prompt_tokens"),
        (read_client_log, "Performance summary\n", "Time range"),
        (read_lmcache_log, "a,b\n1,2\n", "log of a vLLM server"),
        (read_object_server, "a,b\n1,2\n", "no request"),
    ],
)
def test_the_wrong_kind_of_file_is_one_error(
    tmp_path: Path, read: object, content: str, message: str
) -> None:
    assert callable(read)
    with pytest.raises(CalibrationError, match=message) as caught:
        read(write(tmp_path / "wrong", content))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_a_calibration_error(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="cannot be read"):
        read_engine_steps(tmp_path / "none.jsonl")


def test_client_rows(excerpt: Path) -> None:
    table = read_client_requests(excerpt / "client_requests.csv")
    first = table.rows[0]
    assert (first.user_id, first.round_index, first.prompt_tokens, first.output_tokens) == (
        2,
        1,
        11031,
        100,
    )
    assert first.ttft_s == pytest.approx(12.236, abs=1e-3)
    assert (len(table.rows), table.damaged_lines) == (33, 0)


def test_damaged_client_rows_are_counted(tmp_path: Path, excerpt: Path) -> None:
    text = (excerpt / "client_requests.csv").read_text()
    table = read_client_requests(write(tmp_path / "x.csv", text + "11031.0,1\n1,2,x,4,5,6,7,8\n"))
    assert (len(table.rows), table.damaged_lines) == (33, 2)


def test_the_final_summary_not_an_interim_one(excerpt: Path) -> None:
    summary = read_client_log(excerpt / "client.log")
    assert summary.end_s - summary.start_s == pytest.approx(90.234, abs=1e-3)
    assert summary.finished_per_s == 2.0170
    assert summary.ttft_s_mean == 1.4093
    assert summary.decode_tokens_per_s_mean == 87.5341
    assert summary.pending == 0


def test_a_log_of_interim_summaries_only_is_an_error(tmp_path: Path, excerpt: Path) -> None:
    text = (excerpt / "client.log").read_text().split("Finished benchmarking")[0]
    assert "Time range" in text
    with pytest.raises(CalibrationError, match="came to its end"):
        read_client_log(write(tmp_path / "client.log", text))


def test_lmcache_lines_with_colours(excerpt: Path) -> None:
    log = read_lmcache_log(excerpt / "vllm.log.gz")
    assert [load.tokens for load in log.loads[:3]] == [11008, 10240, 10240]
    assert log.loads[0].duration_s == pytest.approx(2.516168)
    assert log.loads[0].n_bytes == pytest.approx(43 * 36 * 2**20, rel=1e-4)
    last = next(row for row in reversed(log.lookups) if row.hbm_tokens == 9904)
    assert (last.prompt_tokens, last.hit_tokens, last.load_tokens) == (11152, 11008, 1104)


def test_older_wordings(tmp_path: Path) -> None:
    stamp = "[2025-05-01 10:00:00,250] LMCache INFO: "
    log = read_lmcache_log(
        write(
            tmp_path / "vllm.log",
            "\n".join(
                [
                    stamp + "Reqid: a, Total tokens 600, vLLM hit tokens: 16, "
                    "LMCache hit tokens: 512, need to load: 496 (vllm_v1_adapter.py:1)",
                    stamp + "Reqid: b, Total tokens 600, LMCache hit tokens: 512, "
                    "need to load: 512 (vllm_v1_adapter.py:1)",
                    stamp + "Reqid: c, Total tokens 600, Inference Engine computed tokens: 500, "
                    "LMCache hit tokens: 512, but need to load: 12 < min_retrieve 64, skip "
                    "retrieve but record for save skip",
                    stamp + "Retrieved 512 out of 512 tokens. size: 0.0703 gb, cost 20.0000 ms, "
                    "throughput: 3.5156 GB/s;",
                    stamp + "Stored 256 out of total 600 tokens. size: 0.0352 gb, cost 2.0000 ms, "
                    "throughput: 17.6 GB/s; offload_time: 1.5000 ms, put_time: 0.4000 ms",
                    stamp.replace("INFO", "WARNING")
                    + "Local cpu memory under pressure so choosing to store only  3 total chunks",
                ]
            ),
        )
    )
    assert [(row.hbm_tokens, row.load_tokens) for row in log.lookups] == [
        (16, 496),
        (0, 512),
        (500, 12),
    ]
    assert (log.loads[0].request_id, log.loads[0].tokens) == (None, 512)
    assert (log.stores[0].duration_s, log.stores[0].copy_s) == (0.002, 0.0015)
    assert log.warnings["store_cut_short"] == 1


def test_object_server_log(excerpt: Path) -> None:
    rows = read_object_server(excerpt / "s3_server.csv.gz")
    assert [(row.method, row.status, row.n_bytes) for row in rows[:1]] == [("HEAD", 200, 37748736)]
    assert {row.n_bytes for row in rows if row.method == "GET"} == {8 * 2**20, 28 * 2**20}
