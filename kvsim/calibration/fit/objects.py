"""Fit the object tier: what the store does from its own log, what the client adds from the loads.

A load of a warm client takes two first bytes (first range, rest), one connection's time for a chunk
and the client's rate for the others. The store's log tells its first byte and the rate of one
connection from requests that ran alone; what a load of one chunk takes besides is the client's and
is given to its two first bytes. The extra time of a fresh client's first loads has no known
mechanism: first * exp(-load / e-folding) is an empirical curve.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares

from kvsim.calibration.fit.copies import loads_of
from kvsim.calibration.fit.host import admissions
from kvsim.calibration.fit.passes import RunTrace
from kvsim.calibration.fit.results import MIN_COUNT, Findings, Residuals
from kvsim.calibration.fit.robust import Array, typical
from kvsim.calibration.readers.object_server import ObjectRequest
from kvsim.spec import Coefficient, HostSpec, ObjectStorageSpec

_MANY = 8
_MIN_HEADS = 4
_SERIAL_ROUND_TRIPS = 2
_WARM_SCATTER_S = 0.03
_WARM_AFTER = 10
"""Loads after which a client counts as warm, or half of them if they are fewer."""


def fit_objects(
    traces: Sequence[RunTrace], spec: ObjectStorageSpec, host: HostSpec, kv_bytes_per_token: int
) -> Findings:
    """Fit reads, existence checks and the warm-up; `host` has the fitted copies and look-ups."""
    found = Findings()
    root = f"storage.{spec.name}"
    own = [trace for trace in traces if trace.remote == "object"]
    chunk_bytes = float(kv_bytes_per_token * (own[0].chunk_tokens if own else 1))
    _fit_heads(found, root, own, host)
    served = _fit_ranges(found, root, own, spec)
    reads = _reads(own, host, chunk_bytes)
    if reads:
        counts = [float(n) for run in reads for n, _ in run]
        found.ranges["chunks per remote load"] = (min(counts), max(counts))
    _fit_loads(found, root, reads, served, spec, chunk_bytes)
    if own:
        found.notes.append(
            f"{root}: one instance, so the store's own limits (read.bandwidth, write.bandwidth) "
            "are not in the data; the profile's hold"
        )
    return found


def _fit_heads(found: Findings, root: str, traces: Sequence[RunTrace], host: HostSpec) -> None:
    heads = [r for trace in traces for r in trace.run.object_requests if r.method == "HEAD"]
    head_s = found.typical(
        f"{root}.head", [r.duration_s for r in heads], unit="s", data="HEAD in the store's log"
    )
    if head_s is None:
        return
    overhead: list[float] = []
    cost = host.schedule
    for trace in traces:
        starts = [r.start_s for r in trace.run.object_requests if r.method == "HEAD"]
        for request, row in admissions(trace):
            count = bisect_right(starts, row.scheduled_s) - bisect_left(starts, row.begin_s)
            own_s = cost.decode + cost.lookup_fixed + cost.lookup_per_token * request.prompt_tokens
            if count >= _MIN_HEADS:
                each_s = (row.scheduled_s - row.begin_s - own_s) / count
                overhead.append(max(0.0, each_s - head_s))
    found.typical(
        f"{root}.client.head_overhead",
        overhead,
        unit="s",
        data=f"look-ups of {_MIN_HEADS} HEADs and more, less the store's part",
    )


def _fit_ranges(
    found: Findings, root: str, traces: Sequence[RunTrace], spec: ObjectStorageSpec
) -> tuple[float, float]:
    """Fit first byte and rate of GETs that ran alone at the store."""
    alone = [r for trace in traces for r in _alone(trace.run.object_requests)]
    line = found.line(
        f"{root}.read.first_byte",
        f"{root}.read.per_connection",
        [r.n_bytes / 2**20 for r in alone],
        [r.duration_s for r in alone],
        prior_slope=2**20 / spec.read.per_connection,
        x_name="MiB",
        data="GETs alone in the store's log",
    )
    if line is None:
        return spec.read.first_byte, spec.read.per_connection
    found.as_rate(f"{root}.read.per_connection", float(2**20))
    return line[0], 2**20 / line[1]


def _alone(requests: Sequence[ObjectRequest]) -> list[ObjectRequest]:
    """Pick GETs of a size during which no other body moved."""
    bodies = sorted((r for r in requests if r.n_bytes), key=lambda r: r.start_s)
    alone = []
    busy_until_s = -np.inf
    for at, row in enumerate(bodies):
        end_s = row.start_s + row.duration_s
        clear = row.start_s >= busy_until_s
        clear &= at + 1 == len(bodies) or bodies[at + 1].start_s >= end_s
        busy_until_s = max(busy_until_s, end_s)
        if clear and row.method == "GET":
            alone.append(row)
    return alone


def _reads(
    traces: Sequence[RunTrace], host: HostSpec, chunk_bytes: float
) -> list[list[tuple[int, float]]]:
    """Return for each run, in order, remote chunks and time of its loads without the GPU copy."""
    runs = []
    for trace in traces:
        rows = []
        for row, load, remote in loads_of(trace):
            chunks = load.tokens / trace.chunk_tokens
            copy_s = host.load.fixed + chunks * chunk_bytes / host.load.bandwidth
            if remote and not row.busy_uploads:
                rows.append((remote, load.duration_s - copy_s))
        if rows:
            runs.append(rows)
    return runs


def _fit_loads(
    found: Findings,
    root: str,
    runs: Sequence[Sequence[tuple[int, float]]],
    served: tuple[float, float],
    spec: ObjectStorageSpec,
    chunk_bytes: float,
) -> None:
    first_byte_s, per_connection = served
    stream_s = chunk_bytes / per_connection
    late = [pair for run in runs for pair in run[min(len(run) // 2, _WARM_AFTER) :]]
    single = [seconds for n, seconds in late if n == 1]
    path = f"{root}.read.first_byte"
    if len(single) >= MIN_COUNT:
        values = np.asarray(single) - stream_s
        seconds, error = typical(values / _SERIAL_ROUND_TRIPS, name=path)
        found.coefficients[path] = Coefficient(
            value=max(0.0, seconds),
            unit="s",
            standard_error=error,
            count=len(single),
            data=f"loads of one chunk; the store's own part is {first_byte_s * 1e3:.1f} ms",
            residual=float(np.median(np.abs(values / _SERIAL_ROUND_TRIPS / seconds - 1))),
            note="with half of what the client adds to a load",
        )
        rate = f"{root}.read.per_connection"
        if rate in found.coefficients:  # the constant of its line is another one now
            alone = {"moves_with": "", "correlation": 0.0}
            found.coefficients[rate] = found.coefficients[rate].model_copy(update=alone)
        first_byte_s = max(0.0, seconds)
    fixed_s = _SERIAL_ROUND_TRIPS * first_byte_s + stream_s
    points = [
        (float(k), float(n - 1), seconds - fixed_s)
        for run in runs
        for k, (n, seconds) in enumerate(run)
        if n >= _MANY
    ]
    if len(points) < MIN_COUNT:
        found.notes.append(f"{root}.client.body_bandwidth: {len(points)} loads of {_MANY} chunks")
        return
    _fit_warmup(found, root, np.array(points), chunk_bytes, spec)


def _fit_warmup(
    found: Findings, root: str, points: Array, chunk_bytes: float, spec: ObjectStorageSpec
) -> None:
    """Fit the warm rate and the extra time of a fresh client's first loads together."""
    load, chunks, seconds = points.T

    def warm_s(values: Array) -> Array:
        return np.asarray(chunks * values[0])

    def extra_s(values: Array) -> Array:
        return np.asarray(values[1] * np.exp(-load / values[2]))

    chunk_s = chunk_bytes / spec.client.body_bandwidth

    def misfit_s(values: Array) -> Array:
        return np.asarray(warm_s(values) + extra_s(values) - seconds, dtype=np.float64)

    fit = least_squares(
        misfit_s,
        [chunk_s, max(float(seconds.max()) - chunk_s * float(chunks.mean()), 1e-3), 3.0],
        bounds=([0.0, 0.0, 0.1], np.inf),
        x_scale=[chunk_s, 1.0, 1.0],
        loss="soft_l1",
        f_scale=_WARM_SCATTER_S,
    )
    values = np.asarray(fit.x, dtype=np.float64)
    misfit = -misfit_s(values)
    spread = 1.4826 * float(np.median(np.abs(misfit)))
    jacobian = np.asarray(fit.jac, dtype=np.float64)
    errors = np.sqrt(np.diag(np.linalg.pinv(jacobian.T @ jacobian))) * spread
    relative = np.abs(misfit / seconds)
    total_s = float(extra_s(values).sum())
    units = (
        ("client.body_bandwidth", "B/s"),
        ("client.warmup_first", "s"),
        (
            "client.warmup_loads",
            "loads",
        ),
    )
    data = f"{len(load)} loads of {_MANY} chunks and more by fresh clients"
    for place, (field, unit) in enumerate(units):
        value, error = float(values[place]), float(errors[place])
        if field == "client.body_bandwidth":
            value, error = chunk_bytes / value, chunk_bytes / value**2 * error
        note = (
            "or a limit of the store: one instance cannot tell"
            if not place
            else "an empirical curve, the mechanism is not known; "
            f"{total_s:.1f} s more than warm loads in all"
        )
        found.coefficients[f"{root}.{field}"] = Coefficient(
            value=value,
            unit=unit,
            standard_error=error,
            count=len(load),
            data=data,
            residual=float(np.median(relative)),
            note=note,
        )
    found.residuals.append(
        Residuals(
            f"{root}: loads",
            {"load": load, "chunks": chunks + 1},
            misfit / seconds,
            (root,) * len(load),
        )
    )
