"""Fit what the object client's uploads reach, and what they do to the engine.

Uploads share Python's lock with the engine thread: while all of them are busy, decode steps end
late now and then (the mean is kept, the median step is not delayed).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kvsim.calibration.fit.passes import UPLOADS, RunTrace
from kvsim.calibration.fit.results import MIN_COUNT, Findings
from kvsim.spec import ObjectStorageSpec
from kvsim.units import format_rate

_WINDOW_S = 0.5
_STALLED_S = 1.0
"""An engine that waits so long has a lookup that timed out, not a late step."""
_ROUND_TRIPS = 3


def fit_uploads(
    traces: Sequence[RunTrace], spec: ObjectStorageSpec, kv_bytes_per_token: int
) -> Findings:
    """Fit the upload rate of one connection, and the delays of the engine."""
    found = Findings()
    root = f"storage.{spec.name}"
    own = [trace for trace in traces if trace.remote == "object"]
    if not own:
        return found
    chunk_bytes = float(kv_bytes_per_token * own[0].chunk_tokens)
    parts = max(1, -(-int(chunk_bytes) // spec.client.part))
    rates = [rate for trace in own for rate in _backlog_rates(trace)]
    round_trips_s = _ROUND_TRIPS * spec.write.first_byte
    each = [
        chunk_bytes / parts / (spec.client.uploads * chunk_bytes / rate - round_trips_s)
        for rate in rates
        if spec.client.uploads * chunk_bytes / rate > round_trips_s
    ]
    found.typical(
        f"{root}.write.per_connection",
        each,
        unit="B/s",
        data=f"half seconds with a backlog of uploads (in all {format_rate(_median(rates))})",
        note="the client feeds all uploads from one thread; the store's limit is not reached",
    )
    late = [seconds for trace in own for seconds in _lateness(trace)]
    if len(late) < UPLOADS * MIN_COUNT:
        late = []
    found.mean(
        f"{root}.client.upload_step_delay",
        late,
        unit="s",
        data="decode steps in a row while all uploads are busy",
    )
    return found


def _backlog_rates(trace: RunTrace) -> Iterator[float]:
    """Yield the bytes/s of PUTs in stretches during which uploads were always pending."""
    puts = sorted(
        (r.start_s + r.duration_s, r.n_bytes)
        for r in trace.run.object_requests
        if r.method == "PUT"
    )
    ends = np.array([end_s for end_s, _ in puts])
    moved = np.concatenate([[0.0], np.cumsum([float(n) for _, n in puts])])
    start_s: float | None = None
    for row in trace.passes:
        if not row.busy_uploads:
            start_s = None
        elif start_s is None:
            start_s = row.scheduled_s
        elif row.scheduled_s - start_s >= _WINDOW_S:
            first, last = np.searchsorted(ends, [start_s, row.scheduled_s])
            if last > first:
                yield float(moved[last] - moved[first]) / (row.scheduled_s - start_s)
            start_s = row.scheduled_s


def _lateness(trace: RunTrace) -> Iterator[float]:
    """Yield how much later decodes in a row ended than the GPU's time explains, step by step."""
    for before, row in trace.pairs_of_passes():
        plain = all(
            one.busy_uploads and not (one.chunks or one.stores or one.loads)
            for one in (before, row)
        )
        if plain and before.older_s is not None and row.older_s is not None:
            late_s = row.older_s - before.older_s - before.gpu_s
            if late_s < _STALLED_S:
                yield late_s


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else 0.0
