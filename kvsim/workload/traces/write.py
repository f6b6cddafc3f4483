"""Write a trace in another format, and at another grain of its hashes."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Literal, assert_never

import numpy as np

from kvsim.cache.keys import unit_keys
from kvsim.errors import ConfigError, TraceError
from kvsim.workload.prefix_tree import build_paths
from kvsim.workload.traces.files import Progress, silent
from kvsim.workload.traces.trace import Trace

WriteFormat = Literal["mooncake", "csv"]

_ROWS_PER_REPORT = 500


def write_trace(
    trace: Trace, path: Path, form: WriteFormat, *, progress: Progress = silent
) -> None:
    """Write JSONL as Mooncake's, with sessions and delays as AIPerf adds them, or plain CSV.

    CSV has no hash ids. Times that count from the start of each session stay so.
    """
    if form == "mooncake" and not trace.hash_tokens:
        raise ConfigError(f"{trace.name} has no hash ids, which format mooncake needs; write csv")
    with _writable(path) as file:
        match form:
            case "mooncake":
                _write_mooncake(trace, file, progress)
            case "csv":
                _write_csv(trace, file, progress)
            case _:
                assert_never(form)
    progress(1.0)


def with_grain(trace: Trace, hash_tokens: int) -> Trace:
    """Return the trace with ids of another size; finer ones are equal parts of the old ones.

    Coarser ids need not be a multiple: an id is shared where all its tokens are. Ids of the new
    trace cover full blocks only and mean the same in the whole trace.
    """
    if not trace.hash_tokens:
        raise ConfigError(f"{trace.name} has no hash ids to change the size of")
    if hash_tokens == trace.hash_tokens:
        return trace
    paths = build_paths(trace, answers="private").paths
    covered = trace.hashed_tokens()
    numbers: dict[int, int] = {}
    flat: list[int] = []
    starts = np.zeros(len(trace), dtype=np.int64)
    counts = np.zeros(len(trace), dtype=np.int64)
    for row, path in enumerate(paths):
        full = int(trace.prompt_tokens[row]) // hash_tokens
        starts[row], counts[row] = len(flat), full
        keys = unit_keys(path, hash_tokens, 0, full)
        flat.extend(numbers.setdefault(key, len(numbers)) for run in keys for key in run)
    note = f"ids of {trace.hash_tokens} tokens turned into {hash_tokens}"
    if hash_tokens < trace.hash_tokens:
        note += "; what parts of an old id share by themselves is not known"
    if int((trace.prompt_tokens - covered).max()) >= hash_tokens:
        note += "; parts that no id covered are taken for unshared"
    return replace(
        trace,
        hash_tokens=hash_tokens,
        hash_starts=starts,
        hash_counts=counts,
        hash_ids=np.array(flat, dtype=np.int64),
        scope=np.zeros(len(trace), dtype=np.int64),
        notes=(*trace.notes, note),
    )


def _write_mooncake(trace: Trace, file: IO[str], progress: Progress) -> None:
    offsets = _scope_offsets(trace)
    if trace.hash_tokens != 512:
        file.write(json.dumps({"block_size": trace.hash_tokens}) + "\n")
    for row in range(len(trace)):
        ids = trace.hashes(row)
        record = {
            "timestamp": _milliseconds(float(trace.time_s[row])),
            "input_length": int(trace.prompt_tokens[row]),
            "output_length": int(trace.output_tokens[row]),
            "hash_ids": (ids + offsets[int(trace.scope[row])]).tolist(),
        }
        if trace.has_sessions:
            record["session_id"] = trace.session_names[int(trace.session[row])]
            think_s = float(trace.think_time_s[row])
            if trace.after[row] >= 0 and not math.isnan(think_s):
                record["delay"] = _milliseconds(think_s)
        if trace.tenants:
            record["tenant"] = trace.tenants[int(trace.session[row])]
        file.write(json.dumps(record) + "\n")
        if row % _ROWS_PER_REPORT == 0:
            progress(row / len(trace))


def _scope_offsets(trace: Trace) -> dict[int, int]:
    """Give each scope numbers of its own, so that all ids mean the same in the whole file."""
    offsets: dict[int, int] = {}
    tops: dict[int, int] = {}
    for row in range(len(trace)):
        ids = trace.hashes(row)
        scope = int(trace.scope[row])
        tops[scope] = max(tops.get(scope, 0), int(ids.max()) + 1 if ids.size else 0)
    taken = 0
    for scope, top in tops.items():
        offsets[scope] = taken
        taken += top
    return offsets


def _write_csv(trace: Trace, file: IO[str], progress: Progress) -> None:
    writer = csv.writer(file, lineterminator="\n")
    head = ["time_s", "prompt_tokens", "output_tokens"]
    if trace.has_sessions:
        head += ["session", "think_time_s"]
    writer.writerow([*head, "tenant"] if trace.tenants else head)
    for row in range(len(trace)):
        cells: list[str | int] = [
            f"{float(trace.time_s[row]):.9g}",
            int(trace.prompt_tokens[row]),
            int(trace.output_tokens[row]),
        ]
        if trace.has_sessions:
            think_s = float(trace.think_time_s[row])
            cells.append(trace.session_names[int(trace.session[row])])
            cells.append("" if math.isnan(think_s) else f"{think_s:.9g}")
        if trace.tenants:
            cells.append(trace.tenants[int(trace.session[row])])
        writer.writerow(cells)
        if row % _ROWS_PER_REPORT == 0:
            progress(row / len(trace))


def _milliseconds(seconds: float) -> float | int:
    value = round(seconds * 1000, 6)
    return int(value) if value.is_integer() else value


@contextmanager
def _writable(path: Path) -> Iterator[IO[str]]:
    """Write to a file beside and rename it at the end: a failure leaves no half trace."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise TraceError(f"{path}: cannot write there: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)
