"""Fit what the object client's uploads reach, and what they do to the engine.

Uploads share Python's lock with the engine thread: while all of them are busy, decode steps end
late now and then (the mean is kept, the median step is not delayed), and handing one store's puts
over holds the lock for a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kvsim.calibration.fit.passes import UPLOADS, RunTrace
from kvsim.calibration.fit.results import MIN_COUNT, Findings
from kvsim.spec import Coefficient, HostSpec, ObjectStorageSpec

_WINDOW_S = 0.5
_SEEN_S = 0.0004
_LONGEST_DELAY_S = 0.1
_ROUND_TRIPS = 3


def fit_uploads(
    traces: Sequence[RunTrace], spec: ObjectStorageSpec, host: HostSpec, kv_bytes_per_token: int
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
        data=f"half seconds with a backlog of uploads (in all {_median(rates) / 1e9:.2f} GB/s)",
        note="the client feeds all uploads from one thread; the store's limit is not reached",
    )
    late = [seconds for trace in own for seconds in _lateness(trace, host, busy=True)]
    calm = [seconds for trace in traces for seconds in _lateness(trace, host, busy=False)]
    _add_mean(found, f"{root}.client.upload_step_delay", late, calm)
    after = [seconds for trace in own for seconds in _after_small_store(trace, host)]
    usual = [s for trace in traces if not trace.remote for s in _after_small_store(trace, host)]
    if len(usual) >= MIN_COUNT:
        base_s = _median(usual)
        found.typical(
            f"{root}.client.upload_handover",
            [max(0.0, seconds - base_s) for seconds in after],
            unit="s",
            data="decode step after the store of one chunk, less the same without a remote tier",
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


def _lateness(trace: RunTrace, host: HostSpec, *, busy: bool) -> Iterator[float]:
    """Yield how late decode steps ended whose end is seen."""
    for row, after in trace.pairs_of_passes():
        if row.chunks or row.stores or row.loads or after.stores or after.chunks or after.loads:
            continue
        if row.busy_uploads != busy or (row.after_store and not busy) or after.older_s is None:
            continue
        begun_s = max(row.older_end_s, row.scheduled_s + host.launch.graph_start)
        late_s = after.older_s - begun_s - row.gpu_s
        seen = after.older_s > after.scheduled_s + host.launch.full_graph + _SEEN_S
        if (seen or busy) and abs(late_s) < _LONGEST_DELAY_S:
            yield late_s


def _after_small_store(trace: RunTrace, host: HostSpec) -> Iterator[float]:
    for before, row in trace.pairs_of_passes():
        chunks = sum(store.tokens // trace.chunk_tokens for store in before.stores)
        if chunks != 1 or row.chunks or row.loads or row.stores or row.busy_uploads:
            continue
        if row.older_s is not None:
            yield row.older_s - row.scheduled_s - host.launch.full_graph


def _add_mean(found: Findings, path: str, late: Sequence[float], calm: Sequence[float]) -> None:
    if len(late) < UPLOADS * MIN_COUNT or not calm:
        found.notes.append(f"{path}: {len(late)} steps with busy uploads; the profile's holds")
        return
    values = np.asarray(late) - float(np.mean(calm))
    found.coefficients[path] = Coefficient(
        value=max(0.0, float(values.mean())),
        unit="s",
        standard_error=float(values.std(ddof=1) / np.sqrt(len(values))),
        count=len(values),
        data="decode steps while all uploads are busy, mean delay",
        note=f"the median step is delayed by {np.median(values) * 1e3:.2f} ms only",
    )


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else 0.0
