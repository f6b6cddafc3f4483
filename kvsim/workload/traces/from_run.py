"""A simulated run as a trace: its requests when they were sent, their prompts cut into chunks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain

from kvsim.cache.keys import unit_keys
from kvsim.errors import SimulationError
from kvsim.workload.request import Request
from kvsim.workload.traces.build import TraceBuilder
from kvsim.workload.traces.trace import Trace


def trace_of_run(requests: Iterable[Request], chunk_tokens: int, *, name: str) -> Trace:
    """Write down what a run was asked, a hash id a full chunk; warm-up requests are left out."""
    rows = [request for request in requests if not request.warmup]
    if not rows:
        raise SimulationError(f"{name}: the run has no request, so nothing is used twice")
    builder = TraceBuilder(name, "run", hash_tokens=chunk_tokens, from_zero=True)
    for request in rows:
        chunks = request.prompt_tokens // chunk_tokens
        builder.add(
            time_s=request.arrival_s,
            end_s=math.nan if request.finished_s is None else request.finished_s,
            prompt_tokens=request.prompt_tokens,
            output_tokens=request.output_tokens,
            session=str(request.session_id),
            hash_ids=list(chain.from_iterable(unit_keys(request.path, chunk_tokens, 0, chunks))),
            tenant=request.tenant,
        )
    return builder.build()
