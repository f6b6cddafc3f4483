"""Rows to Arrow tables, Arrow tables to Parquet files and frames.

A file's bytes depend on its rows only: no pandas metadata, no times. Arrow and
pandas are imported when a table is asked for, so that a run that only prints
its summary pays for neither.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from kvsim.errors import ConfigError
from kvsim.metrics.recorder import (
    ROW_GROUP,
    SESSION_COLUMNS,
    STEP_COLUMNS,
    TRANSFER_COLUMNS,
    Recorder,
)
from kvsim.metrics.tenants import TENANT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa  # type: ignore[import-untyped]

    from kvsim.workload.request import Request

COMPRESSION = "zstd"

# Column -> Arrow type, in the order of the file.
_REQUEST_FIELDS = {
    "request_id": "int64",
    "session_id": "int64",
    "round_index": "int64",
    "warmup": "bool",
    "outcome": "string",
    "instance": "int64",
    "prompt_tokens": "int64",
    "output_tokens": "int64",
    "arrival_s": "float64",
    "engine_s": "float64",
    "scheduled_s": "float64",
    "first_token_s": "float64",
    "finished_s": "float64",
    "load_s": "float64",
    "computed_tokens": "int64",
    "hit_tokens_hbm": "int64",
    "hit_tokens_cpu": "int64",
    "hit_tokens_remote": "int64",
    "recomputed_elsewhere_tokens": "int64",
    "recomputed_evicted_tokens": "int64",
    "preemptions": "int64",
}
_DERIVED = {
    "ttft_s": "float64",
    "tpot_s": "float64",
    "e2e_s": "float64",
    "queue_s": "float64",
    "prefill_s": "float64",
    "decode_s": "float64",
}
_TIER_FIELDS = {
    "instance": "int64",
    "tier": "string",
    "capacity_bytes": "int64",
    "mean_used_bytes": "float64",
    "peak_used_bytes": "int64",
    "lookups": "int64",
    "hit_tokens": "int64",
    "evicted_bytes": "int64",
}
_INTEGERS = {
    "instance",
    "num_steps",
    "decodes",
    "context_tokens",
    "prefill_tokens",
    "n_bytes",
    "objects",
    "live",
}


def _row_fields(columns: Sequence[str]) -> dict[str, str]:
    fields = dict.fromkeys(columns, "float64")
    fields |= {name: "int64" for name in columns if name in _INTEGERS}
    fields |= {name: "string" for name in columns if name in {"tier", "direction"}}
    return fields


FIELDS: Mapping[str, Mapping[str, str]] = {
    "requests": _REQUEST_FIELDS | _DERIVED,
    "steps": _row_fields(STEP_COLUMNS),
    "transfers": _row_fields(TRANSFER_COLUMNS),
    "tiers": _TIER_FIELDS,
    "sessions": _row_fields(SESSION_COLUMNS),
    "remote": {"node_id": "int64", "chunk_index": "int64"},
}


WITH_TENANTS: Mapping[str, Mapping[str, str]] = {
    "requests": {**FIELDS["requests"], "tenant": "string"},
    "tenants": TENANT_FIELDS,
}
"""The tables that a run has, or has otherwise, if tenants are told apart."""


def build_tables(
    recorder: Recorder,
    tiers_rows: Sequence[Mapping[str, Any]],
    remote_keys: Iterable[tuple[int, int]],
    tenants_rows: Sequence[Mapping[str, Any]] = (),
) -> dict[str, pa.Table]:
    """Make all tables of a run; rows keep the order in which they were recorded.

    Tenants appear in them if there are any.
    """
    rows: dict[str, Iterable[Any]] = {
        "requests": recorder.requests,
        "steps": recorder.steps,
        "transfers": recorder.transfers,
        "tiers": [[row[name] for name in _TIER_FIELDS] for row in tiers_rows],
        "sessions": recorder.sessions,
        "remote": sorted(remote_keys),
    }
    tenants = bool(tenants_rows)
    if tenants:
        rows["tenants"] = [[row[name] for name in TENANT_FIELDS] for row in tenants_rows]
    return {name: make_table(name, values, tenants=tenants) for name, values in rows.items()}


def make_table(name: str, rows: Iterable[Any], *, tenants: bool = False) -> pa.Table:
    """Make a table of recorded rows: tuples, or requests for the table of requests."""
    import pyarrow as pa

    if name == "requests":
        rows = map(_request_row_with_tenant if tenants else _request_row, rows)
    schema = _schema(name, tenants=tenants)
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table(
        [pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)],
        schema=schema,
    )


def _schema(name: str, *, tenants: bool = False) -> pa.Schema:
    import pyarrow as pa

    fields = WITH_TENANTS.get(name) if tenants else None
    return pa.schema([pa.field(column, kind) for column, kind in (fields or FIELDS[name]).items()])


_recorded = attrgetter(*_REQUEST_FIELDS)


def _request_row(r: Request) -> tuple[Any, ...]:
    """Return the recorded fields and those that follow; None where an instant is missing.

    The parts add up: queue + load + prefill + decode = e2e.
    """
    scheduled, first, finished = r.scheduled_s, r.first_token_s, r.finished_s
    ttft = None if first is None else first - r.arrival_s
    e2e = None if finished is None else finished - r.arrival_s
    queue = None if scheduled is None else scheduled - r.arrival_s
    prefill = None if first is None or scheduled is None else first - scheduled - r.load_s
    decode = None if finished is None or first is None else finished - first
    tpot = None if decode is None or r.output_tokens < 2 else decode / (r.output_tokens - 1)
    return (*_recorded(r), ttft, tpot, e2e, queue, prefill, decode)


def _request_row_with_tenant(request: Request) -> tuple[Any, ...]:
    return (*_request_row(request), request.tenant)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table so that equal rows give equal bytes."""
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    pq.write_table(table, path, compression=COMPRESSION, row_group_size=ROW_GROUP)


def read_table(name: str, path: Path) -> pa.Table:
    """Read a table that `write_table` wrote; ConfigError if the file is no such table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(
            f"{path}: cannot be read as a saved run's {name} ({error}); run the scenario again"
        ) from None
    known = [_schema(name)] if name in FIELDS else []
    if name in WITH_TENANTS:
        known.append(_schema(name, tenants=True))
    if not any(table.schema.equals(schema) for schema in known):
        raise ConfigError(
            f"{path}: its columns are not those of this version's {name}; run the scenario again"
        )
    return table


class SavedTables(dict[str, "pa.Table"]):
    """The tables of a saved run, each read when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, name: str) -> pa.Table:
        table = self[name] = read_table(name, self._folder / f"{name}.parquet")
        return table


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a frame: missing instants are NaN, a missing instance is NA."""
    frame: pd.DataFrame = table.to_pandas()
    if "instance" in frame.columns:
        frame["instance"] = frame["instance"].astype("Int64")
    return frame
