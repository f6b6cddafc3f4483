"""Traces that are tables of times and lengths: Azure, BurstGPT, CSV or JSONL of such columns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from kvsim.errors import TraceError
from kvsim.workload.traces.build import DamagedRowError, TraceBuilder, seconds, whole
from kvsim.workload.traces.files import Progress, csv_rows, field, json_rows
from kvsim.workload.traces.trace import Trace

TIME_S = ("time_s", "timestamp_s", "arrival_s", "arrival_time_s", "start_s", "timestamp", "time")
TIME_S_MORE = ("arrival_time", "arrived_at", "start_time", "t")
TIME_MS = ("timestamp_ms", "time_ms", "arrival_ms")
TIME_NS = ("arrival_time_ns", "timestamp_ns", "start_ns")
PROMPT = ("prompt_tokens", "input_tokens", "input_length", "input_toks", "num_prefill_tokens")
PROMPT_MORE = ("prompt_len", "input_len", "contexttokens", "request tokens")
OUTPUT = ("output_tokens", "generated_tokens", "completion_tokens", "output_length", "output_toks")
OUTPUT_MORE = ("num_decode_tokens", "output_len", "generatedtokens", "response tokens")
SESSION = ("session", "session_id", "conversation_id", "user_id", "user")
TENANT = ("tenant", "tenant_id")
THINK = ("think_time_s", "think_time")
END = ("end_s", "finished_s", "end_time_s")


def read_azure(path: Path, progress: Progress, *, strict: bool) -> Trace:
    """Read Azure's LLM inference traces: TIMESTAMP (wall clock), ContextTokens, GeneratedTokens."""
    builder = TraceBuilder(str(path), "azure", strict=strict, from_zero=True)
    for where, row in csv_rows(path, builder, progress):
        with builder.row(where):
            builder.add(
                time_s=wall_clock_s(field(row, "TIMESTAMP")),
                prompt_tokens=field(row, "ContextTokens"),
                output_tokens=field(row, "GeneratedTokens"),
            )
    return builder.build()


def read_burstgpt(path: Path, progress: Progress, *, strict: bool) -> Trace:
    """Read BurstGPT: Timestamp (s), Request tokens, Response tokens; newer files have Session ID.

    A row without an answer is a request that failed: it is left out.
    """
    builder = TraceBuilder(str(path), "burstgpt", strict=strict, from_zero=True)
    for where, row in csv_rows(path, builder, progress):
        with builder.row(where):
            answer = whole(field(row, "Response tokens"), "Response tokens")
            if not answer:
                raise DamagedRowError("Response tokens: 0, the request failed")
            session = row.get("Session ID") or row.get("SessionID")
            builder.add(
                time_s=field(row, "Timestamp"),
                prompt_tokens=field(row, "Request tokens"),
                output_tokens=answer,
                session=session or None,
            )
    return builder.build()


def read_table(path: Path, progress: Progress, *, strict: bool) -> Trace:
    """Read CSV or JSONL whose columns have usual names, in any case.

    A time in seconds, milliseconds, nanoseconds or as a date, prompt tokens and output tokens
    must be there; a session, a tenant, a think time and an end may be. Prompts of a session are
    taken as whole prompts, earlier rounds included.
    """
    is_csv = ".csv" in path.suffixes
    form = "csv" if is_csv else "jsonl"
    builder = TraceBuilder(str(path), form, strict=strict, from_zero=True)
    rows: Iterator[tuple[str, dict[str, Any]]]
    rows = csv_rows(path, builder, progress) if is_csv else json_rows(path, builder, progress)
    dates: bool | None = None  # whether the rows so far have dates
    first = True
    for where, raw in rows:
        row = {key.strip().lower(): value for key, value in raw.items()}
        if first:
            _require_columns(path, row, builder)
            first = False
        with builder.row(where):
            date = _is_date(row)
            if dates not in (None, date):
                raise DamagedRowError(f"time: {'' if date else 'not '}a date, unlike before")
            builder.add(
                time_s=_time_s(row),
                prompt_tokens=field(row, *PROMPT, *PROMPT_MORE),
                output_tokens=field(row, *OUTPUT, *OUTPUT_MORE),
                session=_text(row, SESSION),
                tenant=_text(row, TENANT),
                think_time_s=_optional(row, THINK),
                end_s=_optional(row, END),
            )
            dates = date
    return builder.build()


def wall_clock_s(text: Any) -> float:
    """Read a date and time as seconds since 1970, UTC where no zone is given; keep 0.1 us."""
    try:
        when = datetime.fromisoformat(str(text))
        if when.tzinfo is None:
            when = datetime.fromisoformat(f"{text}+00:00")
    except ValueError:
        raise DamagedRowError(f"time: {text!r:.40} is not a date and time") from None
    return when.timestamp()


def _require_columns(path: Path, row: dict[str, Any], builder: TraceBuilder) -> None:
    """Insist on what must be there; of several columns that could be meant, name the one read."""
    wanted = {
        "time": (TIME_S, (*TIME_MS, *TIME_NS, *TIME_S, *TIME_S_MORE)),
        "prompt": (PROMPT, (*PROMPT, *PROMPT_MORE)),
        "output": (OUTPUT, (*OUTPUT, *OUTPUT_MORE)),
    }
    for kind, (usual, names) in wanted.items():
        found = [name for name in names if name in row]
        if not found:
            raise TraceError(
                f"{path}: no column for the {kind} (known: {', '.join(usual[:4])}, ...); "
                f"it has {', '.join(row)}"
            )
        if len(found) > 1:
            builder.notes.append(
                f"{kind}: {found[0]} is read where it is filled, else {', '.join(found[1:])}"
            )


def _time_s(row: dict[str, Any]) -> float:
    for names, divisor in ((TIME_MS, 1e3), (TIME_NS, 1e9)):
        for name in names:
            if row.get(name) not in (None, ""):
                return seconds(row[name], name, per_second=divisor)
    value = field(row, *TIME_S, *TIME_S_MORE)
    return wall_clock_s(value) if _is_date(row) else seconds(value, "time")


def _is_date(row: dict[str, Any]) -> bool:
    """Tell whether the time of a row is a date and not a number."""
    if any(row.get(name) not in (None, "") for name in (*TIME_MS, *TIME_NS)):
        return False
    value = next((row[n] for n in (*TIME_S, *TIME_S_MORE) if row.get(n) is not None), None)
    return (
        isinstance(value, str) and ("-" in value[1:] or ":" in value) and "e-" not in value.lower()
    )


def _text(row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((str(row[name]) for name in names if row.get(name) not in (None, "")), None)


def _optional(row: dict[str, Any], names: tuple[str, ...]) -> float:
    found = next((row[name] for name in names if row.get(name) not in (None, "")), None)
    return float("nan") if found is None else seconds(found, names[0])
