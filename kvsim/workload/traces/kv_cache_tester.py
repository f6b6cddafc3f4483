"""kv-cache-tester: recorded agentic coding sessions, as published (JSON) and as parquet.

Ids name full 64-token blocks and mean the same only within one session, sub-agents included;
times count from the start of each session. Sessions that repeat another one request by request
are left out. A sub-agent starts when the main agent's request before it has been answered.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kvsim.errors import TraceError
from kvsim.workload.traces.build import DamagedRowError, TraceBuilder, seconds, whole
from kvsim.workload.traces.files import Progress, field, json_value, refuse_doubles
from kvsim.workload.traces.trace import HashIds, Trace

BLOCK_TOKENS = 64
MAIN = "main"


def read_parquet(path: Path, progress: Progress, *, strict: bool) -> Trace:
    """Read the table of all sessions, with or without `hash_ids`."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        file = pq.ParquetFile(path)
        columns = ["trace_id", "agent_id", "t", "in_tokens", "out_tokens", "think_time", "api_time"]
        missing = [name for name in columns if name not in file.schema_arrow.names]
        if missing:
            raise TraceError(
                f"{path}: no column {', '.join(missing)}; it is no kv-cache-tester table"
            )
        names = file.schema_arrow.names
        refuse_doubles(path, names)
        hashed = "hash_ids" in names
        if hashed and not _is_list_of_integers(file.schema_arrow.field("hash_ids").type):
            raise TraceError(f"{path}: hash_ids does not hold lists of whole numbers")
        groups = []
        for index in range(file.num_row_groups):
            groups.append(file.read_row_group(index, [*columns, "hash_ids"] if hashed else columns))
            progress(0.8 * (index + 1) / file.num_row_groups)
    except FileNotFoundError:
        raise TraceError(f"{path}: no such file") from None
    except (OSError, pa.ArrowException) as error:
        raise TraceError(f"{path}: not readable as parquet: {error}") from None

    builder = TraceBuilder(str(path), "kv_cache_tester", clock="session", strict=strict)
    builder.hash_tokens = BLOCK_TOKENS if hashed else 0
    starts = counts = np.zeros(sum(len(group) for group in groups), dtype=np.int64)
    flat: HashIds = np.zeros(0, dtype=np.int32)
    holes: frozenset[int] = frozenset()
    if hashed:
        flat, starts, counts, holes = _spans([group.column("hash_ids") for group in groups])
        builder.use_ids(flat)
    table = pa.concat_tables([group.select(columns) for group in groups]).to_pydict()
    del groups
    session_ids = table["trace_id"]
    repeated = _repeated(table, flat, starts, counts)
    for row, session in enumerate(session_ids):
        if session in repeated:
            continue
        with builder.row(f"row {row}"):
            if session is None:
                raise DamagedRowError("no trace_id")
            if row in holes:
                raise DamagedRowError("a hash id is missing")
            agent = str(table["agent_id"][row])
            _add(
                builder,
                str(session),
                agent,
                time_s=table["t"][row],
                prompt_tokens=table["in_tokens"][row],
                output_tokens=table["out_tokens"][row],
                think_time=table["think_time"][row],
                api_time=table["api_time"][row],
                hash_span=(int(starts[row]), int(counts[row])) if hashed else None,
            )
    _note_repeated(builder, repeated)
    progress(1.0)
    return builder.build()


def read_json(path: Path, progress: Progress, *, strict: bool) -> Trace:
    """Read one session's file, or a folder of them."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    builder = TraceBuilder(str(path), "kv_cache_tester", clock="session", strict=strict)
    seen: dict[str, str] = {}
    repeated: dict[str, str] = {}
    for index, file in enumerate(files):
        try:
            data = _session(file)
        except TraceError as error:
            if strict or len(files) == 1:
                raise
            builder.damage(file.name, str(error).removeprefix(f"{file}: "))
            continue
        name = str(data.get("id", file.stem))
        digest = hashlib.sha256(repr(data["requests"]).encode()).hexdigest()
        if digest in seen:
            repeated[name] = seen[digest]
            continue
        seen[digest] = name
        with builder.row(file.name):
            grain = whole(data.get("block_size", BLOCK_TOKENS), "block_size", least=1)
            if builder.hash_tokens not in (0, grain):
                raise DamagedRowError(f"block_size {grain} after {builder.hash_tokens}")
            builder.hash_tokens = grain
            scope = "global" if data.get("hash_id_scope") == "global" else name
            for place, (agent, entry) in enumerate(_entries(data["requests"])):
                label = f"{file.name} " if len(files) > 1 else ""
                with builder.row(f"{label}request {place}"):
                    _add(
                        builder,
                        name,
                        agent,
                        scope=scope,
                        time_s=field(entry, "t"),
                        prompt_tokens=field(entry, "in"),
                        output_tokens=field(entry, "out"),
                        think_time=entry.get("think_time"),
                        api_time=entry.get("api_time"),
                        hash_ids=_ids(entry),
                    )
        progress((index + 1) / len(files))
    _note_repeated(builder, repeated)
    return builder.build()


def _session(file: Path) -> dict[str, Any]:
    data = json_value(file)
    if not isinstance(data, dict) or not isinstance(data.get("requests"), list):
        raise TraceError(f"{file}: no list 'requests'; it is no kv-cache-tester session")
    return data


def _ids(entry: dict[str, Any]) -> list[int]:
    ids = field(entry, "hash_ids")
    if not isinstance(ids, list):
        raise DamagedRowError("hash_ids is not a list")
    return ids


def _entries(requests: list[Any], agent: str = MAIN) -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk through a session's requests, those of its sub-agents included."""
    for entry in requests:
        if not isinstance(entry, dict):
            yield agent, {}
        elif isinstance(entry.get("requests"), list):
            yield from _entries(entry["requests"], str(entry.get("agent_id", "sub-agent")))
        else:
            yield agent, entry


def _add(
    builder: TraceBuilder,
    session: str,
    agent: str,
    *,
    time_s: Any,
    think_time: Any,
    api_time: Any,
    scope: str | None = None,
    **values: Any,
) -> None:
    started_s = seconds(time_s, "t")
    name = f"{session}/{agent}"
    builder.add(
        time_s=started_s,
        session=name,
        scope=session if scope is None else scope,
        think_time_s=math.nan if think_time is None else seconds(think_time, "think_time"),
        end_s=math.nan if api_time is None else started_s + seconds(api_time, "api_time"),
        **values,
    )
    if agent != MAIN:
        builder.set_parent(name, f"{session}/{MAIN}")


class _Spans(NamedTuple):
    flat: HashIds
    starts: Any
    counts: Any
    holes: frozenset[int]
    """Rows one of whose ids is null."""


def _is_list_of_integers(kind: Any) -> bool:
    import pyarrow as pa

    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return listed and bool(pa.types.is_integer(kind.value_type))


def _spans(columns: list[Any]) -> _Spans:
    """Join the lists of all groups to one array of ids and each row's span of it."""
    chunks = [chunk for column in columns for chunk in column.chunks]
    pieces = [chunk.flatten() for chunk in chunks]
    counts = np.concatenate(
        [np.diff(chunk.offsets.to_numpy()).astype(np.int64) for chunk in chunks]
    )
    starts = np.cumsum(counts) - counts
    missing = np.flatnonzero(np.concatenate([p.is_null().to_numpy(False) for p in pieces]))
    holes = frozenset((np.searchsorted(starts, missing, side="right") - 1).tolist())
    flat: HashIds = np.concatenate(
        [(p.fill_null(-1) if p.null_count else p).to_numpy(zero_copy_only=True) for p in pieces]
    )
    return _Spans(flat, starts, counts, holes)


def _repeated(
    table: dict[str, list[Any]], flat: HashIds, starts: Any, counts: Any
) -> dict[str, str]:
    """Name the sessions that repeat an earlier one, with that one."""
    digests: dict[str, Any] = {}
    keys = [name for name in table if name != "trace_id"]
    for row, session in enumerate(table["trace_id"]):
        digest = digests.setdefault(str(session), hashlib.blake2b(digest_size=16))
        digest.update(repr([table[key][row] for key in keys]).encode())
        digest.update(flat[starts[row] : starts[row] + counts[row]].tobytes())
    seen: dict[bytes, str] = {}
    repeated: dict[str, str] = {}
    for session, digest in digests.items():
        first = seen.setdefault(digest.digest(), session)
        if first != session:
            repeated[session] = first
    return repeated


def _note_repeated(builder: TraceBuilder, repeated: dict[str, str]) -> None:
    if repeated:
        names = ", ".join(sorted(repeated))
        builder.notes.append(f"{len(repeated)} sessions repeat others and are left out: {names}")
