"""The numbers of `kvsim trace info`, as plain data."""

from __future__ import annotations

from typing import Any

import numpy as np

from kvsim.workload.trace_stats import Reuse, weighted_quantiles, windows
from kvsim.workload.traces.trace import Floats, Ints, Trace

LEVELS = (0.5, 0.9, 0.95, 0.99)
NAMES = ("p50", "p90", "p95", "p99")
_CACHE_PARTS = (1 / 256, 1 / 64, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


def summarise_trace(trace: Trace, reuse: Reuse) -> dict[str, Any]:
    """Count, and describe lengths, gaps, reuse and the working set; lengths are in tokens."""
    prompt, output = trace.prompt_tokens, trace.output_tokens
    peaks = np.zeros(int(trace.session.max()) + 1, dtype=np.int64)
    np.maximum.at(peaks, trace.session, prompt)
    turns = np.bincount(trace.session)
    distinct = int(reuse.new_blocks.sum()) * reuse.unit_tokens
    return {
        "name": trace.name,
        "format": trace.format,
        "times": {"trace": "from the start of the trace", "session": "per session", "none": "none"}[
            trace.clock
        ],
        "requests": len(trace),
        "sessions": trace.num_sessions if trace.has_sessions else None,
        "span_s": trace.span_s,
        "requests_per_s": _rate(trace),
        "hash_tokens": trace.hash_tokens or None,
        "damaged": [list(row) for row in trace.damaged],
        "notes": list(trace.notes),
        "prompt_tokens": int(prompt.sum()),
        "output_tokens": int(output.sum()),
        "hit_tokens": int(reuse.hit_tokens.sum()),
        "ideal_hit_rate": float(reuse.hit_tokens.sum() / prompt.sum()),
        "distinct_blocks": int(reuse.new_blocks.sum()) if trace.hash_tokens else None,
        "distinct_tokens": distinct,
        "lengths": {
            "prompt": _describe(prompt),
            "answer": _describe(output),
            **({"session peak": _describe(peaks[turns > 0])} if trace.has_sessions else {}),
        },
        "turns": _describe(turns[turns > 0]) if trace.has_sessions else None,
        "gaps_s": _gaps(trace),
        "reuse_distance_tokens": _quantiles(reuse.distance_quantiles(list(LEVELS))),
        "reuse_idle_s": _quantiles(weighted_quantiles(reuse.idle_s, reuse.tokens, list(LEVELS))),
        "lru": _lru_curve(trace, reuse, distinct),
        "windows": [
            {
                "start_s": window.start_s,
                "requests": window.requests,
                "prompt_tokens": window.prompt_tokens,
                "ideal_hit_rate": window.hit_tokens / window.prompt_tokens
                if window.prompt_tokens
                else None,
                "working_set_tokens": window.working_set_tokens,
                "seen_tokens": window.seen_tokens,
            }
            for window in windows(trace, reuse)
        ],
    }


def _rate(trace: Trace) -> float | None:
    if trace.clock != "trace" or trace.span_s <= 0:
        return None
    return (len(trace) - 1) / trace.span_s


def _gaps(trace: Trace) -> dict[str, dict[str, float | None]]:
    """Describe the times between requests, between turns, and the pauses after answers."""
    gaps: dict[str, dict[str, float | None]] = {}
    if trace.clock == "trace" and len(trace) > 1:
        gaps["between requests"] = _describe(np.diff(trace.time_s))
    rows = np.flatnonzero((trace.after >= 0) & (trace.turn > 0))
    if rows.size and trace.clock != "none":
        gaps["between turns"] = _describe(trace.time_s[rows] - trace.time_s[trace.after[rows]])
    think_s = trace.think_time_s[rows]
    think_s = think_s[~np.isnan(think_s)]
    if think_s.size:
        gaps["think time"] = _describe(think_s)
    return gaps


def _lru_curve(trace: Trace, reuse: Reuse, distinct: int) -> list[dict[str, float | int]]:
    """Return the hit rate of one least-recently-used cache at several sizes."""
    if not reuse.blocks.size:
        return []
    total = int(trace.prompt_tokens.sum())
    sizes = sorted({max(1, round(distinct * part / reuse.unit_tokens)) for part in _CACHE_PARTS})
    return [
        {
            "capacity_tokens": blocks * reuse.unit_tokens,
            "hit_rate": reuse.lru_hit_tokens(blocks) / total,
        }
        for blocks in sizes
    ]


def _describe(values: Floats | Ints) -> dict[str, float | None]:
    mean = float(np.mean(values))
    return {
        "mean": mean,
        **_quantiles([float(value) for value in np.quantile(values, LEVELS)]),
        "max": float(np.max(values)),
        "cv": float(np.std(values)) / mean if mean else None,
    }


def _quantiles(values: list[float]) -> dict[str, float | None]:
    return {
        name: None if value != value else value for name, value in zip(NAMES, values, strict=True)
    }
