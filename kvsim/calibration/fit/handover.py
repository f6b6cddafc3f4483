"""Fit how long handing puts over to a remote tier's client holds up the engine.

Between a store's copy and the next pass LMCache gives each chunk to its client, and the object
client begins an upload wherever it has a slot free. Both need Python's lock. What they take is what
passes with a store last longer than in runs without a remote tier; the first uploads after an idle
time show in the pass after as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kvsim.calibration.fit.passes import UPLOADS, Pass, RunTrace
from kvsim.calibration.fit.results import MIN_COUNT, Findings
from kvsim.spec import Coefficient, FileStorageSpec, HostSpec, ObjectStorageSpec

Excess = tuple[float, float]
"""How many puts (or uploads) a store began, and how much later than usual the engine went on."""


def fit_handover(
    traces: Sequence[RunTrace], spec: FileStorageSpec | ObjectStorageSpec, host: HostSpec
) -> Findings:
    """Fit the time for each put, and for objects that for each upload begun in an idle client."""
    found = Findings()
    own = [trace for trace in traces if trace.remote == spec.medium]
    usual = [seconds for t in traces if not t.remote for _, seconds in _after_copy(t, host)]
    if not own:
        return found
    root = f"storage.{spec.name}.client"
    if len(usual) < MIN_COUNT:
        found.notes.append(f"{root}.put_handover: no run without a remote tier to compare with")
        return found
    base_s = float(np.mean(usual))
    is_object = isinstance(spec, ObjectStorageSpec)
    puts = [
        (chunks, seconds - base_s)
        for trace in own
        for (row, chunks), seconds in _after_copy(trace, host)
        if row.busy_uploads or not is_object
    ]
    each_s = _ratio(found, f"{root}.put_handover", puts, data="stores of the runs with this tier")
    if is_object and each_s is not None:
        begun = [
            (float(min(chunks, UPLOADS)), now_s + later_s - base_s - each_s * chunks)
            for trace in own
            for chunks, now_s, later_s in _idle_stores(trace, host)
        ]
        _ratio(found, f"{root}.upload_start", begun, data="stores while no upload was under way")
    return found


def _ratio(found: Findings, path: str, rows: Sequence[Excess], *, data: str) -> float | None:
    """Add the mean time for one: all the excess over all that caused it."""
    if len(rows) < MIN_COUNT:
        found.notes.append(f"{path}: {len(rows)} measurements ({data}); the profile's holds")
        return None
    counts, seconds = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    value = max(0.0, float(seconds.sum() / counts.sum()))
    left = seconds - value * counts
    found.coefficients[path] = Coefficient(
        value=value,
        unit="s",
        standard_error=float(left.std(ddof=1) * np.sqrt(len(rows)) / counts.sum()),
        count=len(rows),
        data=f"{data}, {counts.min():.0f} to {counts.max():.0f} at once",
        note="a mean: all the time over all that took it",
    )
    return value


def _after_copy(trace: RunTrace, host: HostSpec) -> Iterator[tuple[tuple[Pass, float], float]]:
    """Yield passes with their chunks stored, and the time to the next pass beyond the copy's."""
    for row in trace.passes:
        begin_s, next_s = row.store_begin_s, row.next_begin_s
        if begin_s is None or next_s is None or row.older_s is None:
            continue
        factor = host.put_interference.store_copy if row.busy_uploads else 1.0
        copy_s = sum(host.store.fixed + s.n_bytes / host.store.bandwidth for s in row.stores)
        yield (row, _chunks(trace, row)), next_s - begin_s - copy_s * factor


def _idle_stores(trace: RunTrace, host: HostSpec) -> Iterator[tuple[float, float, float]]:
    """Yield chunks stored while the client is idle, the time after the copy, and in the pass after.

    A plain decode after the store shows what is left; with anything else it counts as none.
    """
    after = {before.index: row for before, row in trace.pairs_of_passes()}
    for (row, chunks), seconds in _after_copy(trace, host):
        later = after.get(row.index)
        if row.busy_uploads or row.after_store or later is None or later.older_s is None:
            continue
        plain = not (later.chunks or later.stores or later.loads)
        host_s = later.older_s - later.scheduled_s - host.launch.full_graph
        free_s = later.scheduled_s + host.launch.full_graph
        gpu_s = max(0.0, max(later.older_end_s, 0.0) - free_s)
        yield chunks, seconds, max(0.0, host_s - gpu_s) if plain else 0.0


def _chunks(trace: RunTrace, row: Pass) -> float:
    return sum(store.tokens for store in row.stores) / trace.chunk_tokens
