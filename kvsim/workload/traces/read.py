"""Read a trace of any known format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple, assert_never

from kvsim.errors import TraceError
from kvsim.spec.trace_workload import TraceFormat
from kvsim.workload.traces import benchmarks, hashes, kv_cache_tester, tables
from kvsim.workload.traces.files import Progress, open_bytes, silent, text_lines
from kvsim.workload.traces.trace import Trace


class ReadOptions(NamedTuple):
    """What some formats need to be told."""

    strict: bool = False
    """Whether the first damaged row is an error."""
    hash_tokens: int | None = None
    """Tokens of one hash id (mooncake; None: 512)."""
    answer_tokens: int | None = None
    """Length of all answers where the file has none (lmcache)."""
    part: int | None = None
    """Which benchmark of a file with several (guidellm)."""
    chars_per_token: float = 4.0
    """Characters of a token where there is only text (sharegpt)."""


def read_trace(
    path: str | Path,
    form: TraceFormat = "auto",
    options: ReadOptions | None = None,
    *,
    progress: Progress = silent,
) -> Trace:
    """Read a trace; damaged rows are left out and named in `damaged`, or stop it if strict."""
    file, given = Path(path), options or ReadOptions()
    if not file.exists():
        raise TraceError(f"{file}: no such file")
    known = detect_format(file) if form == "auto" else form
    strict = given.strict
    match known:
        case "mooncake":
            return hashes.read_mooncake(
                file, progress, strict=strict, hash_tokens=given.hash_tokens
            )
        case "lmcache":
            return hashes.read_lmcache(
                file, progress, strict=strict, answer_tokens=given.answer_tokens
            )
        case "llmservingsim":
            return hashes.read_llmservingsim(file, progress, strict=strict)
        case "kv_cache_tester":
            parquet = file.suffix == ".parquet"
            read = kv_cache_tester.read_parquet if parquet else kv_cache_tester.read_json
            return read(file, progress, strict=strict)
        case "azure":
            return tables.read_azure(file, progress, strict=strict)
        case "burstgpt":
            return tables.read_burstgpt(file, progress, strict=strict)
        case "csv" | "jsonl":
            return tables.read_table(file, progress, strict=strict)
        case "vllm_bench":
            return benchmarks.read_vllm_bench(file, progress, strict=strict)
        case "guidellm":
            return benchmarks.read_guidellm(file, progress, strict=strict, part=given.part)
        case "aiperf":
            return benchmarks.read_aiperf(file, progress, strict=strict)
        case "otel":
            return benchmarks.read_otel(file, progress, strict=strict)
        case "sharegpt":
            return benchmarks.read_sharegpt(
                file, progress, strict=strict, chars_per_token=given.chars_per_token
            )
        case "auto":
            raise AssertionError("detect_format names a format")
        case _:
            assert_never(known)


def detect_format(path: Path) -> TraceFormat:
    """Tell the format by what only it has; a file that fits none is an error."""
    if path.is_dir():
        return "lmcache" if any(path.glob("lookup_hashes_*.jsonl")) else "kv_cache_tester"
    if path.suffix == ".parquet":
        return "kv_cache_tester"
    if ".csv" in path.suffixes:
        return _detect_csv(path)
    first = next(text_lines(path), None)
    if first is None:
        raise TraceError(f"{path}: the file is empty")
    try:
        rows = [json.loads(line) for _, line in zip(range(20), _some_lines(path), strict=False)]
    except (ValueError, RecursionError):
        rows = []
    for row in rows:
        if isinstance(row, dict):
            for form, marks in _LINE_MARKS.items():
                if marks <= row.keys():
                    return form
    found = _detect_document(path)
    if found is not None:
        return found
    if rows and isinstance(rows[0], dict):
        return "jsonl"
    raise TraceError(f"{path}: the format is not known; name it (workload.format, --format)")


_LINE_MARKS: dict[TraceFormat, set[str]] = {
    "mooncake": {"input_length", "hash_ids"},
    "lmcache": {"chunk_hashes", "chunk_size"},
    "llmservingsim": {"input_toks", "arrival_time_ns"},
    "aiperf": {"metadata", "metrics"},
    "otel": {"resourceSpans"},
    "vllm_bench": {"input_lens", "start_times"},
    "guidellm": {"benchmarks"},
    "kv_cache_tester": {"requests", "block_size"},
}
_DOCUMENT_MARKS: tuple[tuple[TraceFormat, tuple[bytes, ...]], ...] = (
    ("otel", (b'"resourceSpans"',)),
    ("guidellm", (b'"benchmarks"',)),
    ("sharegpt", (b'"conversations"',)),
    ("kv_cache_tester", (b'"requests"', b'"block_size"')),
    ("vllm_bench", (b'"input_lens"',)),
)


def _some_lines(path: Path) -> list[str]:
    """Return complete lines of the file's beginning; one huge line counts as none."""
    with open_bytes(path) as file:
        begin = file.read(1 << 20)
    lines = begin.split(b"\n")
    if len(begin) == 1 << 20:
        lines.pop()
    texts = [line.decode("utf-8", errors="replace").strip() for line in lines[:40]]
    return [text for text in texts if text and _is_object(text)]


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _detect_document(path: Path) -> TraceFormat | None:
    with open_bytes(path) as file:
        head = file.read(1 << 20)
        for form, marks in _DOCUMENT_MARKS:
            if all(mark in head for mark in marks):
                return form
        rest = file.read()
    return "vllm_bench" if b'"input_lens"' in rest or b'"start_times"' in rest else None


def _detect_csv(path: Path) -> TraceFormat:
    first = next(text_lines(path), None)
    if first is None:
        raise TraceError(f"{path}: the file is empty")
    head = first[1]
    if {"TIMESTAMP", "ContextTokens"} <= set(head.split(",")):
        return "azure"
    return "burstgpt" if "Request tokens" in head else "csv"
