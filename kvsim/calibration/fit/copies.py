"""Fit the copies between GPU and host memory: a fixed time and a rate, each way.

The copy of a load or a store is one line of LMCache's log. Loads that waited for a remote tier say
nothing about the copy; stores of a run with a remote tier hold the handing over to its client too,
so they count only where there is no run without one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvsim.calibration.fit.passes import Pass, RunTrace
from kvsim.calibration.fit.results import Findings
from kvsim.calibration.readers.lmcache_log import Copy
from kvsim.spec import HostSpec


def fit_copies(traces: Sequence[RunTrace], host: HostSpec, kv_bytes_per_token: int) -> Findings:
    """Fit loads from, and stores to, host memory, and what busy uploads do to a store."""
    found = Findings()
    chunk_bytes = float(kv_bytes_per_token * (traces[0].chunk_tokens if traces else 1))
    loads = [
        (load.tokens / trace.chunk_tokens, load.duration_s)
        for trace in traces
        for _, load, remote in loads_of(trace)
        if not remote
    ]
    stores = [pair for trace in traces if not trace.remote for pair in _stores(trace, busy=False)]
    if not stores:
        stores = [pair for trace in traces for pair in _stores(trace, busy=False)]
        found.notes.append(
            "host.store: every run with stores has a remote tier, so handing puts over is in it"
        )
    for path, pairs, cost in (("load", loads, host.load), ("store", stores, host.store)):
        line = found.line(
            f"host.{path}.fixed",
            f"host.{path}.bandwidth",
            [chunks for chunks, _ in pairs],
            [seconds for _, seconds in pairs],
            prior_slope=chunk_bytes / cost.bandwidth,
            x_name="chunks",
            data=f"{path}s of LMCache's log",
        )
        if line is not None:
            found.as_rate(f"host.{path}.bandwidth", chunk_bytes)
            counts = [chunks for chunks, _ in pairs]
            found.ranges[f"chunks per {path}"] = (min(counts), max(counts))
    line_found = found.coefficients.get("host.store.fixed")
    busy = [
        pair for trace in traces if trace.remote == "object" for pair in _stores(trace, busy=True)
    ]
    if line_found is not None and busy:
        slope_s = chunk_bytes / found.coefficients["host.store.bandwidth"].value
        found.mean(
            "host.put_interference.store_copy",
            [max(1.0, s / (line_found.value + slope_s * chunks)) for chunks, s in busy],
            unit="factor",
            data="stores while all uploads are busy",
        )
    return found


def loads_of(trace: RunTrace) -> Iterator[tuple[Pass, Copy, int]]:
    """Yield each load with the number of its chunks that came from the remote tier."""
    remote = {
        request.request_id: request.remote_tokens // trace.chunk_tokens
        for request in trace.run.requests
    }
    for row in trace.passes:
        for load in row.loads:
            if load.tokens >= trace.chunk_tokens:
                yield row, load, remote.get(load.request_id, 0)


def _stores(trace: RunTrace, *, busy: bool) -> Iterator[tuple[float, float]]:
    for row in trace.passes:
        for store in row.stores:
            if store.tokens >= trace.chunk_tokens and row.busy_uploads == busy:
                yield store.tokens / trace.chunk_tokens, store.duration_s
