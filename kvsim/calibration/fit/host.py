"""Fit what the host adds around a step: launches, the scheduler, and requests in and out.

"u" rows are stamped when the host sees that the GPU is done, so `update` is the time from there to
the next pass, and a launch time what lies between the end of schedule() and a "u" that the GPU did
not hold up.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from kvsim.calibration.fit.passes import Pass, RunTrace
from kvsim.calibration.fit.results import Findings
from kvsim.calibration.fit.step_rows import launch_begin_s, launch_s
from kvsim.calibration.readers.measured_request import MeasuredRequest
from kvsim.spec import HostSpec

_SOON = 0.8
"""The GPU was done within this share of a launch, so the launch is what took the time."""
_CLEARLY_LATE = 0.1
_IDLE_S = 0.001
_ALONE_S = 0.1
_SHORT_PASS_S = 0.02
_SMALL_TOKENS = 512
_TIMED_OUT_S = 1.0
"""A schedule() of this length waits for a look-up that will not come."""
_BIG_STORE_CHUNKS = 8


def fit_launch(traces: Sequence[RunTrace], host: HostSpec) -> Findings:
    """Fit launches, the time to process an output, and the scheduler's share of a decode step."""
    found = Findings()
    update: list[float] = []
    launches: dict[str, list[float]] = defaultdict(list)
    disturbed: list[float] = []
    start: list[float] = []
    prepare: list[float] = []
    decode: list[float] = []
    for trace in traces:
        for before, row in trace.pairs_of_passes():
            if row.older_s is not None and row.next_begin_s is not None and row.is_undisturbed:
                update.append(row.next_begin_s - row.older_s)
            if not row.chunks and not row.waiting and row.is_undisturbed:
                decode.append(row.scheduled_s - row.begin_s)
            if row.load_begin_s is not None and row.is_undisturbed:
                prepare.append(row.load_begin_s - row.scheduled_s)
            seen = _launch_seen(before, row, host)
            if seen is not None and row.is_undisturbed:
                launches[seen[0]].append(seen[1])
            slowed = _slowed_launch(trace, before, row, host)
            if slowed is not None:
                disturbed.append(slowed)
        start += _graph_starts(trace, host)
    found.typical("host.update", update, unit="s", data="from 'u' to the next schedule()")
    found.typical("host.schedule.decode", decode, unit="s", data="schedule() of decode steps")
    for kind in ("full_graph", "piecewise_graph", "piecewise_graph_after_load", "eager"):
        found.typical(
            f"host.launch.{kind}", launches[kind], unit="s", data="launches that held the step up"
        )
    found.typical("host.launch.graph_start", start, unit="s", data="decode steps on an idle GPU")
    found.typical("host.launch.load_prepare", prepare, unit="s", data="loads, stamped in ms")
    eager = found.coefficients.get("host.launch.eager")
    if eager is not None and disturbed:
        found.mean(
            "host.put_interference.launch",
            [max(1.0, seconds / eager.value) for seconds in disturbed],
            unit="factor",
            data="eager launches while puts run",
        )
    calm, busy = (
        [seconds for t in traces for seconds in _loads_alone(t, busy=b)] for b in (False, True)
    )
    if calm and busy:
        usual_s = float(np.mean(calm))
        found.mean(
            "host.put_interference.piecewise_launch",
            [seconds / usual_s for seconds in busy],
            unit="factor",
            data="passes with a load while all uploads are busy, less the load",
        )
    return found


def _loads_alone(trace: RunTrace, *, busy: bool) -> Iterator[float]:
    """Yield what passes with one load took besides it, from schedule() to their launch or GPU."""
    if not busy and trace.remote:
        return
    for row in trace.passes:
        small = row.chunks and row.tokens <= _SMALL_TOKENS and len(row.loads) == 1
        if not small or row.busy_uploads != busy or row.older_s is None:
            continue
        begin_s, loaded_s = row.load_begin_s, row.loaded_s
        if begin_s is not None and loaded_s is not None:
            yield (begin_s - row.scheduled_s) + ((row.store_begin_s or row.older_s) - loaded_s)


def _launch_seen(before: Pass, row: Pass, host: HostSpec) -> tuple[str, float] | None:
    """Give kind and time of a launch that the next 'u' waited for."""
    at_s, prior_s = launch_begin_s(row), launch_s(row, host)
    if row.stores or row.older_end_s > at_s + _SOON * prior_s:
        return None
    if row.older_s is None:
        # Alone in the engine: its own end is seen, which is its launch if the GPU had less to do.
        alone = row.handed_s is not None and (row.next_begin_s or np.inf) > row.handed_s
        if not (alone and row.chunks) or row.loads or row.gpu_s > _SOON * prior_s:
            return None
        big = row.tokens > host.launch.piecewise_max_tokens
        return ("eager" if big else "piecewise_graph"), (row.handed_s or at_s) - at_s
    if not row.chunks:
        return None if row.loads else ("full_graph", row.older_s - at_s)
    if row.tokens > host.launch.piecewise_max_tokens:
        after_big = before.chunks and before.tokens > host.launch.piecewise_max_tokens
        return None if after_big or row.loads else ("eager", row.older_s - at_s)
    return ("piecewise_graph_after_load" if row.loads else "piecewise_graph", row.older_s - at_s)


def _slowed_launch(trace: RunTrace, before: Pass, row: Pass, host: HostSpec) -> float | None:
    """Give an eager launch while many puts run, where the store after it waited for the launch.

    Many: the object client's backlog, or the files of a big store in the pass before.
    """
    if trace.remote == "object":
        busy = row.busy_uploads
    else:
        stored = sum(store.tokens // trace.chunk_tokens for store in before.stores)
        busy = trace.remote == "file" and stored >= _BIG_STORE_CHUNKS
    store_s = row.store_begin_s
    if not busy or store_s is None or row.loads or row.tokens <= host.launch.piecewise_max_tokens:
        return None
    at_s = launch_begin_s(row)
    gpu_end_s = max(row.older_end_s, at_s) + row.gpu_s
    return store_s - at_s if store_s > gpu_end_s + _CLEARLY_LATE * row.gpu_s else None


def _graph_starts(trace: RunTrace, host: HostSpec) -> Iterator[float]:
    """Yield from launch to GPU start of decode steps on an idle GPU, where their end is seen."""
    for row, after in trace.pairs_of_passes():
        if row.chunks or row.stores or row.loads or not row.is_undisturbed or not row.gpu_s:
            continue
        if row.older_end_s > row.scheduled_s - _IDLE_S or after.chunks or after.stores:
            continue
        free_s = after.scheduled_s + host.launch.full_graph
        if after.older_s is not None and after.older_s > free_s + _IDLE_S:
            yield after.older_s - row.scheduled_s - row.gpu_s


def fit_admission(traces: Sequence[RunTrace], host: HostSpec) -> Findings:
    """Fit the scheduler's time for a new request, with and without LMCache's look-up."""
    found = Findings()
    plain: list[tuple[float, float]] = []
    lookups: list[tuple[float, float]] = []
    for trace in traces:
        if trace.remote:
            continue  # checks of the remote tier come on top: the storage fits see to them
        rows = lookups if trace.run.lookups else plain
        rows += [
            (float(request.prompt_tokens), row.scheduled_s - row.begin_s)
            for request, row in admissions(trace)
        ]
    base_s = host.schedule.decode
    busy = [pair for trace in traces if trace.remote == "object" for pair in _busy(trace)]
    for kind, rows in (("admit", plain), ("lookup", lookups)):
        prior = host.schedule.admit_per_token if kind == "admit" else host.schedule.lookup_per_token
        found.line(
            f"host.schedule.{kind}_fixed",
            f"host.schedule.{kind}_per_token",
            [tokens for tokens, _ in rows],
            [max(seconds - base_s, 1e-6) for _, seconds in rows],
            prior_slope=prior,
            x_name="prompt tokens",
            data="schedule() admitting one request",
        )
    slope = found.coefficients.get("host.schedule.lookup_per_token")
    if slope is not None and busy:
        fixed_s = base_s + found.coefficients["host.schedule.lookup_fixed"].value
        found.mean(
            "host.put_interference.schedule",
            [seconds / (fixed_s + slope.value * tokens) for tokens, seconds in busy],
            unit="factor",
            data="schedule() admitting one request while all uploads are busy, less HEADs",
        )
    return found


def _busy(trace: RunTrace) -> Iterator[tuple[float, float]]:
    """Yield prompt tokens and schedule() of requests admitted during uploads, less its HEADs."""
    heads = [row for row in trace.run.object_requests if row.method == "HEAD"]
    for request, row in admissions(trace):
        if row.busy_uploads and row.scheduled_s - row.begin_s < _TIMED_OUT_S:
            heads_s = sum(
                head.duration_s for head in heads if row.begin_s <= head.start_s <= row.scheduled_s
            )
            yield float(request.prompt_tokens), row.scheduled_s - row.begin_s - heads_s


def admissions(trace: RunTrace) -> Iterator[tuple[MeasuredRequest, Pass]]:
    """Yield each request that was the only one admitted in its pass."""
    by_instant: dict[float, list[MeasuredRequest]] = defaultdict(list)
    for request in trace.run.requests:
        if request.scheduled_s is not None and not request.preemptions:
            by_instant[request.scheduled_s].append(request)
    for row in trace.passes:
        admitted = by_instant.get(row.scheduled_s, ())
        if len(admitted) == 1:
            yield admitted[0], row


def fit_requests(traces: Sequence[RunTrace], host: HostSpec) -> Findings:
    """Fit the way of a request into the engine, and of its answer back to the client."""
    found = Findings()
    inward: list[tuple[float, float]] = []
    slowed: list[float] = []
    outward: list[tuple[float, float]] = []
    ends: list[float] = []
    for trace in traces:
        begins = [row.begin_s for row in trace.passes]
        launches = sorted(r.launch_s for r in trace.run.requests if r.launch_s is not None)
        for request in trace.run.requests:
            if request.arrival_guessed or request.launch_s is None:
                continue
            if request.finish_s is not None and request.engine_finished_s is not None:
                ends.append(request.finish_s - request.engine_finished_s)
            tokens = float(request.prompt_tokens)
            first_s = _first_token_processed(trace, begins, request)
            if first_s is not None and request.ttft_s is not None:
                outward.append((tokens, request.launch_s + request.ttft_s - first_s))
            at = bisect_left(launches, request.launch_s)
            if at and request.launch_s - launches[at - 1] < _ALONE_S:
                continue
            seen = _time_in(trace, begins, request)
            if seen is None:
                continue
            row = trace.passes[max(0, bisect_right(begins, request.launch_s) - 1)]
            if row.busy_uploads:
                slowed.append(seen / (host.request_in.fixed + host.request_in.per_token * tokens))
            elif trace.remote != "object":
                inward.append((tokens, seen))
    for path, rows, cost in (
        ("host.request_in", inward, host.request_in),
        ("host.first_token_out", outward, host.first_token_out),
    ):
        found.line(
            f"{path}.fixed",
            f"{path}.per_token",
            [tokens for tokens, _ in rows],
            [max(seconds, 1e-6) for _, seconds in rows],
            prior_slope=cost.per_token,
            x_name="prompt tokens",
            data="requests of the client",
        )
    found.typical("host.end_of_stream", ends, unit="s", data="ends of answers")
    line = found.coefficients.get("host.request_in.fixed")
    if slowed and line is not None:
        per_token = found.coefficients["host.request_in.per_token"].value
        base = [tokens for tokens, _ in inward]
        now_s = line.value + per_token * float(np.median(base))
        before_s = host.request_in.fixed + host.request_in.per_token * float(np.median(base))
        found.mean(
            "host.put_interference.request_in",
            [max(1.0, ratio * before_s / now_s) for ratio in slowed],
            unit="factor",
            data="requests taken in while all uploads are busy",
        )
    return found


def _first_token_processed(
    trace: RunTrace, begins: Sequence[float], request: MeasuredRequest
) -> float | None:
    """Give when the step that ended the prompt was processed, if only one prompt can be meant."""
    if request.scheduled_s is None or request.engine_finished_s is None or request.preemptions:
        return None
    for row in trace.passes[max(0, bisect_right(begins, request.scheduled_s) - 1) :]:
        if row.scheduled_s > request.engine_finished_s:
            return None
        done = [before + n for before, n in row.chunks if before + n == request.prompt_tokens]
        if row.scheduled_s >= request.scheduled_s and done:
            return row.handed_s if len(done) == 1 else None
    return None


def _time_in(trace: RunTrace, begins: Sequence[float], request: MeasuredRequest) -> float | None:
    """Give launch to arrival less the mean wait for the loop, which reads its input once a pass."""
    if request.launch_s is None:
        return None
    at = bisect_left(begins, request.arrival_s)
    if not at:
        return None
    before = trace.passes[at - 1]
    earliest_s = before.begin_s
    if before.next_begin_s is not None and request.arrival_s - before.begin_s > _SHORT_PASS_S:
        idle = before.older_s is None or before.handed_s is None
        waited = not idle and before.handed_s is not None and before.handed_s < request.arrival_s
        if not waited:
            return None  # it came while a long pass ran: the wait is most of it
        earliest_s = request.arrival_s
    earliest_s = max(earliest_s, request.launch_s)
    return (earliest_s + request.arrival_s) / 2 - request.launch_s
