"""Read AIPerf's profile_export.jsonl: one request a line, times in ns since the epoch.

Prompt and output lengths are the server's own counts where it reported them (`usage_*`), else those
that AIPerf's tokenizer found.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvsim.calibration.readers.files import read_lines
from kvsim.calibration.readers.load_rows import LoadRow, LoadRows, sorted_rows
from kvsim.errors import CalibrationError

_NS = 1e-9
_MS = 1e-3
_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0}


def read_aiperf(path: Path) -> LoadRows:
    """Read one file; warm-ups and cancelled requests are skipped, damaged lines counted."""
    rows: list[LoadRow] = []
    damaged = skipped = 0
    for line in read_lines(path):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            metadata = fields["metadata"]
            warmup = metadata.get("benchmark_phase", "profiling") != "profiling"
            if warmup or metadata.get("was_cancelled"):
                skipped += 1
            else:
                rows.append(_row(fields, metadata))
        except (ValueError, KeyError, TypeError, AttributeError):
            damaged += 1
    if not rows:
        raise CalibrationError(
            f"{path}: no request ({damaged} damaged, {skipped} skipped lines); expected AIPerf's "
            'profile_export.jsonl, lines of {"metadata": ..., "metrics": ...}'
        )
    return LoadRows("AIPerf", "epoch", sorted_rows(rows), damaged, skipped)


def _row(fields: Mapping[str, Any], metadata: Mapping[str, Any]) -> LoadRow:
    metrics = fields["metrics"]
    failure = fields.get("error")
    launch_s = metadata["request_start_ns"] * _NS
    ttft_s = _seconds(metrics, "time_to_first_token")
    latency_s = _seconds(metrics, "request_latency")
    if failure is None and latency_s is None:
        raise KeyError("request_latency")
    gaps = metrics.get("inter_chunk_latency", {}).get("value", ())
    cached = _count(metrics, "usage_prompt_cache_read_tokens")
    return LoadRow(
        request_id=metadata.get("x_request_id"),
        session=metadata.get("x_correlation_id") or metadata.get("conversation_id"),
        round_index=int(metadata.get("turn_index") or 0) + 1,
        launch_s=launch_s,
        first_token_s=None if ttft_s is None else launch_s + ttft_s,
        finish_s=None if failure is not None or latency_s is None else launch_s + latency_s,
        prompt_tokens=_count(metrics, "usage_prompt_tokens", "input_sequence_length") or 0,
        output_tokens=_count(metrics, "usage_completion_tokens", "output_sequence_length") or 0,
        cached_tokens=cached,
        error=None if failure is None else _message(failure),
        itl_s=tuple(float(gap) * _MS for gap in gaps),
    )


def _message(failure: Any) -> str:
    if not isinstance(failure, dict):
        return str(failure)
    return f"{failure.get('code', '')} {failure.get('type', '')}".strip() or "failed"


def _seconds(metrics: Mapping[str, Any], tag: str) -> float | None:
    metric = metrics.get(tag)
    return None if metric is None else float(metric["value"]) * _UNITS[metric["unit"]]


def _count(metrics: Mapping[str, Any], *tags: str) -> int | None:
    for tag in tags:
        if tag in metrics:
            return int(metrics[tag]["value"])
    return None
