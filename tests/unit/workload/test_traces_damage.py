"""Damaged files of every format: a row is counted and named, a file is one clear error."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kvsim.errors import TraceError
from kvsim.workload.traces import ReadOptions, read_trace

TABLE = "time_s,prompt_tokens,output_tokens\n"
GOOD = '{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]}\n'
SPAN = {
    "startTimeUnixNano": "1000000000",
    "endTimeUnixNano": "2000000000",
    "attributes": {"gen_ai.usage.input_tokens": 50, "gen_ai.usage.output_tokens": 5},
}


def mooncake(**values: Any) -> str:
    """One row with some of its values replaced; NaN and Infinity as Python writes them."""
    return json.dumps({**json.loads(GOOD), **values}) + "\n"


def kct(**values: Any) -> dict[str, Any]:
    return {"t": 5, "in": 130, "out": 5, "hash_ids": [1, 2], **values}


def spans(*more: Any) -> str:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [SPAN, *more]}]}]})


def guidellm(*more: Any) -> str:
    good = {"request_start_time": 1, "prompt_tokens": 5, "output_tokens": 3}
    return json.dumps({"benchmarks": [{"requests": {"successful": [good, *more]}}]})


def aiperf(**about: Any) -> str:
    lengths = {"input_sequence_length": {"value": 5}, "output_sequence_length": {"value": 5}}
    metadata = {"request_start_ns": 1e9, "request_end_ns": 2e9, **about}
    return json.dumps({"metadata": metadata, "metrics": lengths}) + "\n"


DAMAGED_ROWS = {
    "infinite length": ("t.jsonl", GOOD + mooncake(input_length=1e999), "inf is not a whole"),
    "infinite time": ("t.jsonl", GOOD + mooncake(timestamp=1e999), "inf is not a finite"),
    "time beyond all clocks": ("t.jsonl", GOOD + mooncake(timestamp=1e300), "another unit?"),
    "true for an id": ("t.jsonl", GOOD + mooncake(hash_ids=[True, False]), "not whole numbers"),
    "an id of 70 bits": ("t.jsonl", GOOD + mooncake(hash_ids=[1 << 70, 2]), "more than 64 bits"),
    "endless nesting": ("t.jsonl", GOOD + "[" * 100_000, "not JSON"),
    "latin-1": ("t.jsonl", GOOD.encode() + b'{"session_id": "\xe9"}\n', "not UTF-8"),
    "a number of Python's": ("t.csv", TABLE + "0,6_00,5\n1,700,6\n", "'6_00' is not a number"),
    "a huge cell": ("t.csv", TABLE + f"0,600,{'5' * 200_000}\n1,700,6\n", "not CSV"),
    "milliseconds": ("t.csv", TABLE + "1700000000000,600,5\n1,700,6\n", "another unit?"),
    "no date after dates": ("t.csv", TABLE + "2024-01-01 00:00,600,5\n5,700,6\n", "unlike before"),
    "request that is none": ("t.json", guidellm(5), "5 is not an object"),
    "metadata that are none": ("t.jsonl", aiperf() + aiperf(request_start_ns="x"), "not a number"),
    "span that is none": ("t.json", spans(5), "5 is not an object"),
    "attribute that is none": ("t.json", spans({**SPAN, "attributes": [5]}), "not an object"),
    "ids that are no list": (
        "t.json",
        json.dumps({"id": "a", "block_size": 64, "requests": [kct(), kct(hash_ids=5)]}),
        "hash_ids is not a list",
    ),
    "token ids that are lists": (
        "t.jsonl",
        "".join(
            json.dumps(
                {"input_toks": 16, "output_toks": 5, "arrival_time_ns": 0, "input_tok_ids": ids}
            )
            + "\n"
            for ids in ([1] * 16, [[1]] * 16)
        ),
        "input_tok_ids are not whole numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED_ROWS)
def test_a_damaged_row_is_named_and_strict_stops_at_it(name: str, tmp_path: Path) -> None:
    file, content, why = DAMAGED_ROWS[name]
    path = tmp_path / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    trace = read_trace(path)
    assert len(trace) == 1
    assert [why in row.why for row in trace.damaged] == [True]
    with pytest.raises(TraceError, match="strict stops here") as stopped:
        read_trace(path, options=ReadOptions(strict=True))
    assert "\n" not in str(stopped.value)


PACKED = gzip.compress((GOOD * 3000).encode())
DAMAGED_FILES = {
    "packing breaks off": ("t.jsonl.gz", PACKED[: len(PACKED) // 2], "to its end"),
    "packing breaks off in its head": ("t.jsonl.gz", PACKED[:5], "to its end"),
    "packing is damaged": ("t.jsonl.gz", PACKED[:20] + b"\xff" * 80 + PACKED[99:], "to its end"),
    "not packed": ("t.jsonl.gz", GOOD.encode(), "to its end"),
    "two columns of one name": ("t.csv", b"time_s,prompt_tokens,output_tokens,Time_s\n", "two col"),
    "a key twice in a row": (
        "t.jsonl",
        (GOOD + GOOD.replace("}", ', "timestamp": 7}')).encode(),
        r"t\.jsonl: line 2: 'timestamp' stands twice in one object",
    ),
    "a key twice within an object": (
        "t.json",
        guidellm().replace('"prompt_tokens"', '"prompt_tokens": 6, "prompt_tokens"').encode(),
        r"t\.json: 'prompt_tokens' stands twice",
    ),
    "old line ends": ("t.csv", TABLE.replace("\n", "\r").encode() + b"0,600,5\r", "not CSV"),
    "wrong grain": ("t.jsonl", b'{"block_size": "x"}\n' + GOOD.encode(), "give --hash-tokens"),
    "two grains": ("t.jsonl", f'{GOOD}{{"block_size": 256}}\n{GOOD}'.encode(), "after requests"),
    "errors that are no list": (
        "t.json",
        b'{"input_lens": [5], "output_lens": [1], "start_times": [0], "errors": 5}',
        "'errors' is not a list",
    ),
}


@pytest.mark.parametrize("name", DAMAGED_FILES)
def test_a_damaged_file_is_one_clear_error(name: str, tmp_path: Path) -> None:
    file, content, why = DAMAGED_FILES[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(TraceError, match=why) as error:
        read_trace(tmp_path / file)
    assert "\n" not in str(error.value)


def parquet(path: Path, **values: Any) -> Path:
    columns = {
        "trace_id": ["a", "a"], "agent_id": ["main", "main"], "t": [0.0, 5.0],
        "in_tokens": [130, 140], "out_tokens": [5, 5], "think_time": [None, 1.0],
        "api_time": [1.0, 1.0], "hash_ids": [[1, 2], [1, 3]], **values,
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"hash_ids": [[1, None], [1, 3]]}, "a hash id is missing"),
        ({"trace_id": [None, "a"]}, "no trace_id"),
        ({"t": [None, 5.0]}, "t: None is not a number"),
    ],
)
def test_a_damaged_row_of_parquet_is_named(values: Any, why: str, tmp_path: Path) -> None:
    trace = read_trace(parquet(tmp_path / "t.parquet", **values))
    assert len(trace) == 1
    assert [(row.where, row.why) for row in trace.damaged] == [("row 0", why)]


@pytest.mark.parametrize("ids", [[1, 2], [["a"], ["b"]], [[1.5], [2.5]]])
def test_ids_of_parquet_are_lists_of_whole_numbers(ids: Any, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="hash_ids does not hold lists of whole numbers"):
        read_trace(parquet(tmp_path / "t.parquet", hash_ids=ids))


def test_parquet_with_two_columns_of_one_name(tmp_path: Path) -> None:
    table = pq.read_table(parquet(tmp_path / "t.parquet"))
    twice = [*table.column_names, "t"]
    pq.write_table(
        pa.Table.from_arrays([*table.columns, table.column("t")], names=twice),
        tmp_path / "u.parquet",
    )
    with pytest.raises(TraceError, match="two columns 't'"):
        read_trace(tmp_path / "u.parquet")


def test_a_broken_session_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"block_size": 64, "requests": [kct()]}))
    (tmp_path / "b.json").write_text("{")
    trace = read_trace(tmp_path)
    assert [row.where for row in trace.damaged] == ["b.json"]
    with pytest.raises(TraceError, match=r"b\.json: not readable as JSON"):
        read_trace(tmp_path, options=ReadOptions(strict=True))


def test_of_several_columns_of_times_the_one_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("time_s,timestamp_ms,prompt_tokens,output_tokens\n0,5000,600,5\n")
    assert read_trace(path).notes == ("time: timestamp_ms is read where it is filled, else time_s",)
