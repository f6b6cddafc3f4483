"""Fit the client of a file tier from loads and look-ups.

One load at a time, from one instance: whether the mount or the server limits its rate is not in
such data, so the rate is given to the mount. Few chunks are bound by their streams, many by the
mount. Writes leave no line in the log.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kvsim.calibration.fit.copies import loads_of
from kvsim.calibration.fit.host import admissions
from kvsim.calibration.fit.passes import RunTrace
from kvsim.calibration.fit.results import Findings
from kvsim.calibration.fit.robust import typical
from kvsim.spec import Coefficient, FileStorageSpec, HostSpec

_MANY = 8
_MIN_LOADS = 5


def fit_files(
    traces: Sequence[RunTrace], spec: FileStorageSpec, host: HostSpec, kv_bytes_per_token: int
) -> Findings:
    """Fit mount rate, stream rate and existence checks; `host` has the fitted copies."""
    found = Findings()
    root = f"storage.{spec.name}"
    chunk_bytes = float(kv_bytes_per_token * (traces[0].chunk_tokens if traces else 1))
    reads: list[tuple[int, float]] = []
    checks: list[float] = []
    for trace in traces:
        if trace.remote != "file":
            continue
        for _, load, remote in loads_of(trace):
            copy_s = host.load.fixed + load.tokens / trace.chunk_tokens * (
                chunk_bytes / host.load.bandwidth
            )
            if remote:
                reads.append((remote, load.duration_s - copy_s))
        lookup = host.schedule
        for request, row in admissions(trace):
            remote = request.remote_tokens // trace.chunk_tokens
            if remote >= _MANY:
                own_s = lookup.decode + lookup.lookup_fixed
                own_s += lookup.lookup_per_token * request.prompt_tokens
                checks.append(max(0.0, (row.scheduled_s - row.begin_s - own_s) / remote))
    found.typical(f"{root}.stat", checks, unit="s", data="look-ups of 8 chunks and more")
    many = [(n, seconds) for n, seconds in reads if n >= _MANY]
    line = found.line(
        f"{root}.read.latency",
        f"{root}.client.mount_bandwidth",
        [n for n, _ in many],
        [seconds for _, seconds in many],
        prior_slope=chunk_bytes / min(spec.client.mount_bandwidth, spec.read.bandwidth),
        x_name="chunks",
        data="loads of 8 chunks and more, without the copy to the GPU",
    )
    if line is None:
        return found
    counts = [float(n) for n, _ in reads]
    found.ranges["chunks per remote load"] = (min(counts), max(counts))
    found.as_rate(f"{root}.client.mount_bandwidth", chunk_bytes)
    _split_fixed(found, root, line[1], reads, spec, chunk_bytes)
    found.notes.append(
        f"{root}: one instance loads one request at a time, so the server's own limit "
        "(read.bandwidth) and all of write are not in the data; the profile's hold"
    )
    return found


def _split_fixed(
    found: Findings,
    root: str,
    slope_s: float,
    reads: Sequence[tuple[int, float]],
    spec: FileStorageSpec,
    chunk_bytes: float,
) -> None:
    """Read the constant of the line as one stream's time for a chunk, after the latency.

    The sum of latency and stream time is measured; which is which would take loads of a few chunks
    at several sizes, so the latency is held at the profile's.
    """
    fixed = found.coefficients.pop(f"{root}.read.latency")
    stream_s = fixed.value - spec.read.latency + slope_s
    few = [seconds for n, seconds in reads if n == 1]
    if len(few) >= _MIN_LOADS:
        stream_s = typical(np.asarray(few), name=root)[0] - spec.read.latency
    if stream_s <= 0:
        found.notes.append(f"{root}.read: loads take less than the profile's latency; it holds")
        return
    error = fixed.standard_error
    rate = chunk_bytes / stream_s
    found.coefficients[f"{root}.read.per_stream"] = Coefficient(
        value=rate,
        unit="B/s",
        standard_error=None if error is None else error / stream_s * rate,
        count=fixed.count,
        data=fixed.data,
        residual=fixed.residual,
        identified=False,
        note="only latency + chunk / per_stream is measured; latency is the profile's",
    )
