"""Readers: every format into the same columns, damage counted and named, strict stops."""

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvsim.errors import ConfigError, TraceError
from kvsim.workload.traces import ReadOptions, Trace, check_granularity, detect_format, read_trace
from kvsim.workload.traces.trace import cap_prompts, next_turns, time_window

DATA = Path(__file__).parents[2] / "data" / "traces"

Write = Callable[[str, Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write text, one JSON value, or a list of rows as JSONL; return the path."""

    def save(name: str, content: Any) -> Path:
        path = tmp_path / name
        if name.endswith(".jsonl"):
            content = "".join(
                row if isinstance(row, str) else json.dumps(row) + "\n" for row in content
            )
        elif not isinstance(content, str):
            content = json.dumps(content)
        path.write_text(content)
        return path

    return save


def mooncake_row(time_ms: Any = 0, prompt: Any = 1000, answer: Any = 5, ids: Any = (1, 2)) -> Any:
    ids = list(ids) if isinstance(ids, tuple) else ids
    return {"timestamp": time_ms, "input_length": prompt, "output_length": answer, "hash_ids": ids}


def rows_of(trace: Trace) -> list[tuple[float, int, int]]:
    columns = (trace.time_s.tolist(), trace.prompt_tokens.tolist(), trace.output_tokens.tolist())
    return list(zip(*columns, strict=True))


def test_mooncake_excerpt() -> None:
    trace = read_trace(DATA / "mooncake_conversation.jsonl")
    assert (len(trace), trace.format, trace.hash_tokens, trace.has_sessions) == (
        120,
        "mooncake",
        512,
        False,
    )
    first = json.loads((DATA / "mooncake_conversation.jsonl").read_text().splitlines()[0])
    assert trace.hashes(0).tolist() == first["hash_ids"]
    assert trace.damaged == trace.notes == ()


def test_azure_excerpt_keeps_all_rows_and_tenths_of_microseconds() -> None:
    trace = read_trace(DATA / "azure_code.csv")
    assert (len(trace), trace.format) == (60, "azure")
    assert rows_of(trace)[0] == (0.0, 4808, 10)
    assert trace.time_s[1] == pytest.approx(0.052, abs=1e-6)


def test_kv_cache_tester_excerpt() -> None:
    trace = read_trace(DATA / "kv_cache_tester.parquet")
    assert (len(trace), trace.num_sessions, trace.clock, trace.hash_tokens) == (
        45,
        5,
        "session",
        64,
    )
    assert np.array_equal(trace.hash_counts, trace.prompt_tokens // 64)
    names = [trace.session_names[i] for i in trace.session]
    agent = names.index("trace_0291/agent_001")
    # It starts while the main agent waits: 1148.013 s, after the answer of 1085 s + 15.64 s.
    parent = int(trace.after[agent])
    assert names[parent] == "trace_0291/main"
    assert trace.time_s[parent] == 1085.0
    assert trace.think_time_s[agent] == pytest.approx(1148.013 - 1085.0 - 15.64)
    assert (
        len({int(scope) for scope, name in zip(trace.scope, names, strict=True) if "0291" in name})
        == 1
    )
    assert set(trace.scope.tolist()) == {1, 2, 3}


def kct_session(name: str, **values: Any) -> dict[str, Any]:
    def request(t: float, prompt: int, answer: int = 7, **more: Any) -> dict[str, Any]:
        ids = list(range(1, prompt // 64 + 1))
        return {"t": t, "type": "n", "in": prompt, "out": answer, "hash_ids": ids, **more}

    requests: list[dict[str, Any]] = [
        request(0.0, 130, api_time=2.0),
        {
            "type": "subagent",
            "t": 3.0,
            "agent_id": "agent_001",
            "requests": [request(4.0, 70, api_time=1.0), request(6.0, 200, think_time=1.0)],
        },
        request(9.0, 300, think_time=7.0),
    ]
    return {"id": name, "block_size": 64, "hash_id_scope": "local", "requests": requests, **values}


def test_kv_cache_tester_json_with_sub_agents(write: Write, tmp_path: Path) -> None:
    path = write("a.json", kct_session("a"))
    trace = read_trace(path)
    assert trace.format == "kv_cache_tester"
    assert rows_of(trace) == [(0.0, 130, 7), (4.0, 70, 7), (6.0, 200, 7), (9.0, 300, 7)]
    assert trace.after.tolist() == [-1, 0, 1, 0]
    assert trace.think_time_s[1:].tolist() == [2.0, 1.0, 7.0]
    write("b.json", kct_session("b", block_size=64, hash_id_scope="local"))
    both = read_trace(tmp_path)
    assert len(both) == 4
    assert both.notes == ("1 sessions repeat others and are left out: b",)


def test_kv_cache_tester_parquet_drops_repeated_sessions(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(DATA / "kv_cache_tester.parquet")
    again = table.slice(0, 8).set_column(0, "trace_id", pa.array(["trace_9999"] * 8))
    path = tmp_path / "twice.parquet"
    pq.write_table(pa.concat_tables([table, again]), path)
    trace = read_trace(path)
    assert len(trace) == 45
    assert trace.notes == ("1 sessions repeat others and are left out: trace_9999",)


def test_lmcache_lookups(write: Write, tmp_path: Path) -> None:
    def look(when: float, length: int, *hashes: str, model: str = "m") -> dict[str, Any]:
        return {
            "timestamp": 1e9 + when, "request_id": "r", "model_name": model, "chunk_size": 256,
            "seq_len": length, "dtypes": [], "shapes": [], "chunk_hashes": list(hashes),
        }  # fmt: skip

    write("lookup_hashes_20260101_000000_000000.jsonl", [look(0, 600, "0xa", "0xb"), look(1, 100)])
    write("lookup_hashes_20260101_000000_000001.jsonl", [look(2, 513, "0xa", "0xc"), look(3, 300)])
    trace = read_trace(tmp_path, options=ReadOptions(answer_tokens=50))
    assert (trace.format, trace.hash_tokens) == ("lmcache", 256)
    assert rows_of(trace) == [(0.0, 600, 50), (1.0, 100, 50), (2.0, 513, 50)]
    assert [trace.hashes(row).tolist() for row in range(3)] == [[0, 1], [], [0, 2]]
    assert [row.where for row in trace.damaged] == [
        "lookup_hashes_20260101_000000_000001.jsonl line 2"
    ]
    with pytest.raises(TraceError, match="answer_tokens"):
        read_trace(tmp_path)


def test_token_ids_become_16_token_hashes(write: Write) -> None:
    tokens = list(range(40))
    path = write(
        "t.jsonl",
        [
            {"input_toks": 40, "output_toks": 3, "arrival_time_ns": 10**9, "input_tok_ids": tokens},
            {"input_toks": 33, "output_toks": 3, "arrival_time_ns": 2 * 10**9,
             "input_tok_ids": [*tokens[:32], 99]},
            {"input_toks": 32, "output_toks": 3, "arrival_time_ns": 3 * 10**9,
             "input_tok_ids": [5, *tokens[1:32]]},
        ],
    )  # fmt: skip
    trace = read_trace(path)
    assert (trace.format, trace.hash_tokens) == ("llmservingsim", 16)
    ids = [trace.hashes(row).tolist() for row in range(3)]
    assert ids[0] == ids[1]
    assert not {*ids[2]} & {*ids[0]}, "the second block is other text after another first block"


def test_burstgpt(write: Write) -> None:
    text = (
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,"
        "Log Type\n"
        "5,a,1.2,ChatGPT,472,18,490,Conversation log\n"
        "45,a,3.4,ChatGPT,500,0,500,Conversation log\n"
        "118,,2.0,GPT-4,1087,230,1317,API log\n"
    )
    trace = read_trace(write("b.csv", text))
    assert trace.format == "burstgpt"
    assert rows_of(trace) == [(0.0, 472, 18), (113.0, 1087, 230)]
    assert trace.damaged[0].where == "line 3"
    assert "failed" in trace.damaged[0].why


def test_sharegpt_lengths_are_estimated_and_have_no_times(write: Write) -> None:
    talk = [
        {"from": "human", "value": "x" * 40},
        {"from": "gpt", "value": "y" * 80},
        {"from": "human", "value": "z" * 20},
        {"from": "gpt", "value": "w" * 8},
    ]
    trace = read_trace(write("s.json", [{"id": "a", "conversations": talk}, {"id": "b"}]))
    assert (trace.format, trace.clock) == ("sharegpt", "none")
    assert rows_of(trace) == [(0.0, 10, 20), (0.0, 35, 2)]
    assert trace.after.tolist() == [-1, 0]
    assert math.isnan(trace.think_time_s[1])
    assert len(trace.damaged) == 1
    assert "characters" in trace.notes[0]


def test_vllm_bench(write: Write) -> None:
    data = {
        "duration": 3.0, "completed": 2, "input_lens": [10, 20, 30], "output_lens": [1, 2, 3],
        "start_times": [100.5, 100.25, 101.0], "errors": ["", "", "boom"], "ttfts": [0.1, 0.2, 0],
    }  # fmt: skip
    trace = read_trace(write("r.json", data))
    assert trace.format == "vllm_bench"
    assert rows_of(trace) == [(0.0, 20, 2), (0.25, 10, 1)]
    assert trace.notes == ("1 rows were earlier than the row before: sorted",)
    with pytest.raises(TraceError, match="save-detailed"):
        read_trace(write("r.json", {"input_lens": [1]}), "vllm_bench")


def guidellm_run(start: float) -> dict[str, Any]:
    def request(at: float, **more: Any) -> dict[str, Any]:
        times = {"request_start": at, "request_end": at + 1.5, "first_token_iteration": at + 0.1}
        return {"prompt_tokens": 50, "output_tokens": 9, "info": {"timings": times, **more}}

    talk = {"conversation_id": "c"}
    good = [request(start, **talk), request(start + 4, **talk)]
    return {"requests": {"successful": good, "incomplete": [request(9)], "errored": []}}


def test_guidellm(write: Write) -> None:
    trace = read_trace(write("b.json", {"benchmarks": [guidellm_run(70.0)]}))
    assert trace.format == "guidellm"
    assert rows_of(trace) == [(0.0, 50, 9), (4.0, 50, 9)]
    assert trace.think_time_s[1] == 2.5
    assert trace.damaged[0].where == "incomplete request 0"
    sweep = write("s.json", {"benchmarks": [guidellm_run(70.0), guidellm_run(90.0)]})
    with pytest.raises(TraceError, match="2 benchmarks"):
        read_trace(sweep)
    assert len(read_trace(sweep, options=ReadOptions(part=1))) == 2
    with pytest.raises(TraceError, match="no benchmark 2"):
        read_trace(sweep, options=ReadOptions(part=2))


def test_aiperf(write: Write) -> None:
    def record(start_s: float, phase: str = "profiling", **more: Any) -> dict[str, Any]:
        about = {
            "session_num": 0, "conversation_id": "c", "turn_index": 0, "benchmark_phase": phase,
            "request_start_ns": int((1e9 + start_s) * 1e9), "was_cancelled": False,
            "request_end_ns": int((1e9 + start_s + 2) * 1e9),
        }  # fmt: skip
        metrics = {
            "input_sequence_length": {"value": 550, "unit": "tokens"},
            "output_sequence_length": {"value": 62, "unit": "tokens"},
        }
        return {"metadata": about, "metrics": metrics, "error": None, **more}

    rows = [record(0, "warmup"), record(10), record(17), record(30, error={"code": 500})]
    trace = read_trace(write("profile_export.jsonl", rows))
    assert trace.format == "aiperf"
    assert rows_of(trace) == [(0.0, 550, 62), (7.0, 550, 62)]
    assert trace.think_time_s[1] == pytest.approx(5.0)
    assert trace.notes == ("1 warm-up requests skipped",)
    assert len(trace.damaged) == 1


@pytest.mark.parametrize("one_a_line", [True, False])
def test_otel(write: Write, one_a_line: bool) -> None:
    def span(start_s: int, *pairs: tuple[str, str, Any]) -> dict[str, Any]:
        attributes = [{"key": key, "value": {kind: value}} for key, kind, value in pairs]
        ends = {"endTimeUnixNano": str((start_s + 1) * 10**9)}
        return {"startTimeUnixNano": str(start_s * 10**9), **ends, "attributes": attributes}

    def call(start_s: int, tokens: int) -> dict[str, Any]:
        return span(
            start_s,
            ("gen_ai.usage.input_tokens", "intValue", str(tokens)),
            ("gen_ai.usage.output_tokens", "intValue", "8"),
            ("gen_ai.conversation.id", "stringValue", "talk"),
        )

    batches = [
        {"resourceSpans": [{"scopeSpans": [{"spans": [call(100, 42), span(101)]}]}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": [call(105, 60)]}]}]},
    ]
    content = batches if one_a_line else json.dumps(batches, indent=1)
    trace = read_trace(write("spans.jsonl" if one_a_line else "spans.json", content))
    assert trace.format == "otel"
    assert rows_of(trace) == [(0.0, 42, 8), (5.0, 60, 8)]
    assert trace.think_time_s[1] == 4.0
    assert trace.notes == ("1 spans without gen_ai.usage.input_tokens skipped",)


def test_plain_tables(write: Write) -> None:
    text = "timestamp,prompt_tokens,generated_tokens,selected_model\n0.5,689,48,a\n0.75,231,52,b\n"
    assert rows_of(read_trace(write("t.csv", text))) == [(0.0, 689, 48), (0.25, 231, 52)]
    rows = [{"arrival_ms": 1500, "input_tokens": 7, "output_tokens": 2, "user": 3}]
    trace = read_trace(write("t.jsonl", rows))
    assert (trace.format, trace.has_sessions, trace.session_names) == ("jsonl", True, ("3",))
    with pytest.raises(TraceError, match="no column for the output"):
        read_trace(write("u.csv", "time,prompt_tokens\n1,2\n"))


def test_dates_and_gzip(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    rows = "2026-01-01T00:00:00Z,5,5\n2026-01-01T00:01:30+00:00,6,6\n"
    text = f"time,prompt_tokens,output_tokens\n{rows}"
    path.write_bytes(gzip.compress(text.encode()))
    assert rows_of(read_trace(path)) == [(0.0, 5, 5), (90.0, 6, 6)]
    path.write_bytes(gzip.compress(text.encode())[:-12])
    with pytest.raises(TraceError, match=r"t\.csv\.gz: cannot be read to its end"):
        read_trace(path)


BAD_ROWS = {
    "not JSON": "{oops\n",
    "not a JSON object": "[1, 2]\n",
    "is negative": mooncake_row(-5),
    "time: inf|not a finite": {**mooncake_row(), "timestamp": float("inf")},
    "timestamp: 'soon' is not a number": mooncake_row("soon"),
    "prompt tokens: 0": mooncake_row(1, 0, 5, ()),
    "prompt tokens: 1.5": mooncake_row(1, 1.5),
    "prompt tokens: True": mooncake_row(1, True),
    "output tokens: -1": mooncake_row(1, 1000, -1),
    "no output_length": {"timestamp": 1, "input_length": 5, "hash_ids": [1]},
    "3 hash ids do not fit 1000 tokens": mooncake_row(1, 1000, 5, (1, 2, 3)),
    "hash_ids is not a list": mooncake_row(1, 1000, 5, "12"),
    "the hash ids are not whole numbers": mooncake_row(1, 1000, 5, (1, "x")),
}


@pytest.mark.parametrize("why", BAD_ROWS)
def test_a_damaged_row_is_left_out_and_named(write: Write, why: str) -> None:
    path = write("m.jsonl", [mooncake_row(0), BAD_ROWS[why], mooncake_row(9)])
    trace = read_trace(path, "mooncake")
    assert trace.time_s.tolist() == [0.0, 0.009]
    assert trace.hashes(1).tolist() == [1, 2]
    assert [row.where for row in trace.damaged] == ["line 2"]
    with pytest.raises(TraceError, match=f"line 2: .*({why})"):
        read_trace(path, "mooncake", ReadOptions(strict=True))


def test_unsorted_times_are_sorted_and_noted(write: Write) -> None:
    path = write("m.jsonl", [mooncake_row(50, 100, 1, (1,)), mooncake_row(20, 200, 2, (2,))])
    trace = read_trace(path)
    assert rows_of(trace) == [(0.02, 200, 2), (0.05, 100, 1)]
    assert trace.hashes(0).tolist() == [2]
    assert trace.notes == ("1 rows were earlier than the row before: sorted",)


def test_empty_answers_are_one_token(write: Write) -> None:
    trace = read_trace(write("m.jsonl", [mooncake_row(0, 1000, 0)]))
    assert trace.output_tokens.tolist() == [1]
    assert "1 empty answers" in trace.notes[0]


@pytest.mark.parametrize("content", ["", "\n\n", json.dumps(mooncake_row(-1)) + "\n"])
def test_a_trace_without_requests_is_an_error(write: Write, content: str) -> None:
    with pytest.raises(TraceError, match="no request in it"):
        read_trace(write("m.json", content), "mooncake")


def test_what_is_no_trace_is_a_clear_error(write: Write, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such file"):
        read_trace(tmp_path / "none.jsonl")
    with pytest.raises(TraceError, match="format is not known"):
        read_trace(write("readme.md", "# Words\n"))
    with pytest.raises(TraceError, match="the file is empty"):
        read_trace(write("empty.csv", ""))
    with pytest.raises(TraceError, match="not readable as parquet"):
        read_trace(write("x.parquet", "no"))
    with pytest.raises(TraceError, match="field larger than field limit"):
        read_trace(write("wide.csv", "a" * 200_000))
    with pytest.raises(TraceError, match="line 2: not CSV"):
        read_trace(write("wide.csv", "time_s,prompt_tokens,output_tokens\n" + "1" * 200_000))
    for name in ("deep.json", "deep.jsonl"):
        with pytest.raises(TraceError, match="format is not known"):
            read_trace(write(name, "[" * 100_000))
    for form in ("guidellm", "vllm_bench", "sharegpt", "kv_cache_tester"):
        with pytest.raises(TraceError, match="json"):
            read_trace(write("x.json", '{"a": 1'), form)


def test_a_comment_line_gives_the_grain(write: Write) -> None:
    path = write("m.jsonl", [{"block_size": 16}, mooncake_row(0, 40, 1, (1, 2, 3))])
    assert detect_format(path) == "mooncake"
    assert read_trace(path).hash_tokens == 16
    assert read_trace(write("n.jsonl", [mooncake_row(0, 40, 1, (1, 2))]),
                      options=ReadOptions(hash_tokens=20)).hash_tokens == 20  # fmt: skip


def test_sessions_and_delays_of_mooncake(write: Write) -> None:
    first = {**mooncake_row(0), "session_id": "s"}
    later = {**mooncake_row(9000), "session_id": "s", "delay": 1500}
    trace = read_trace(write("m.jsonl", [first, later, {**mooncake_row(9500), "session_id": "t"}]))
    assert trace.after.tolist() == [-1, 0, -1]
    assert trace.think_time_s[1] == 1.5
    assert next_turns(trace).tolist() == [1, -1, -1]


def test_finer_chunks_than_hashes_are_an_error_unless_split() -> None:
    trace = read_trace(DATA / "mooncake_conversation.jsonl")
    check_granularity(trace, 512)
    check_granularity(trace, 1024)
    check_granularity(trace, 256, split=True)
    with pytest.raises(
        ConfigError, match=r"offload\.chunk_tokens: 256 is finer than the 512-token"
    ):
        check_granularity(trace, 256)
    check_granularity(read_trace(DATA / "azure_code.csv"), 16)


def test_windows_and_caps() -> None:
    trace = read_trace(DATA / "kv_cache_tester.parquet")
    part = time_window(trace, 1100.0, 1210.0)
    assert len(part) == 12
    assert part.time_s[0] == pytest.approx(48.013)
    assert part.after.tolist()[:2] == [-1, 0], "the parent lies before the window"
    capped = cap_prompts(trace, 80_000)
    names = [capped.session_names[i] for i in capped.session]
    assert names.count("trace_0291/main") == 4, "the session ends before its first longer prompt"
    assert "requests from prompts above 80000 tokens on left out" in capped.notes[-1]
    with pytest.raises(ConfigError, match="no request"):
        time_window(trace, 5e6, 6e6)
    with pytest.raises(ConfigError, match="raise it"):
        cap_prompts(trace, 10)
