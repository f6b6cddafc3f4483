"""From the spec of a replayed or made-up workload to its trace and its driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

import numpy as np

from kvsim.des.clock import Clock
from kvsim.spec.synthetic_workload import AgenticSpec, AnySyntheticSpec, ChatSpec, RagSpec
from kvsim.spec.trace_workload import TraceSpec
from kvsim.workload.request import Request
from kvsim.workload.synthetic import generate
from kvsim.workload.trace_replay import TraceReplay
from kvsim.workload.traces.files import Progress, silent
from kvsim.workload.traces.read import ReadOptions, read_trace
from kvsim.workload.traces.trace import Trace, time_window

ReplayedSpec = TraceSpec | AnySyntheticSpec


def load_trace(spec: ReplayedSpec, seed: int, *, progress: Progress = silent) -> Trace:
    """Read or make up the trace of a spec and cut out the part that is asked for."""
    match spec:
        case TraceSpec():
            options = ReadOptions(
                strict=spec.strict,
                hash_tokens=spec.hash_tokens,
                answer_tokens=spec.answer_tokens,
                part=spec.part,
                chars_per_token=spec.chars_per_token,
            )
            trace = read_trace(spec.file, spec.format, options, progress=progress)
            if spec.window is not None:
                trace = time_window(trace, *spec.window)
            if spec.max_requests is not None and spec.max_requests < len(trace):
                trace = trace.take(np.arange(spec.max_requests))
            return trace
        case AgenticSpec() | RagSpec() | ChatSpec():
            trace = generate(spec, seed)
            return replace(trace, name=f"the made-up {spec.kind} workload")
        case _:
            assert_never(spec)


def make_replay(
    spec: ReplayedSpec,
    clock: Clock,
    submit: Callable[[Request], None],
    *,
    seed: int,
    on_live_sessions: Callable[[float, int], None] | None = None,
) -> TraceReplay:
    """Build the driver of a spec."""
    recorded = spec if isinstance(spec, TraceSpec) else None
    return TraceReplay(
        load_trace(spec, seed),
        spec,
        clock,
        submit,
        seed=seed,
        session_rate=recorded.session_rate if recorded else None,
        unknown_think_s=recorded.think if recorded else 0.0,
        on_live_sessions=on_live_sessions,
    )
