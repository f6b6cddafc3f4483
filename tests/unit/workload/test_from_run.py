"""A run written down as a trace says of reuse what the run's own look-ups say."""

from __future__ import annotations

import numpy as np
import pytest

from kvsim.errors import SimulationError
from kvsim.plan.reuse import Lookup
from kvsim.plan.reuse import measure_reuse as measure_lookups
from kvsim.plan.trial import try_out
from kvsim.spec import Scenario
from kvsim.workload.trace_stats import measure_reuse
from kvsim.workload.traces.from_run import trace_of_run


def test_a_run_as_a_trace_has_its_prompts_and_their_reuse(qa: Scenario) -> None:
    requests = [one for one in try_out(qa).requests if not one.warmup]
    chunk = qa.offload.chunk_tokens
    trace = trace_of_run(requests, chunk, name="run")
    assert trace.prompt_tokens.sum() == sum(one.prompt_tokens for one in requests)
    assert trace.time_s[0] == 0
    assert np.all(np.diff(trace.time_s) >= 0)
    assert trace.num_sessions == len({one.session_id for one in requests})
    # The same prompts in the same order, answers left out.
    by_arrival = sorted(requests, key=lambda one: one.arrival_s)
    lookups = [
        Lookup(one.path, one.prompt_tokens, one.prompt_tokens, one.arrival_s) for one in by_arrival
    ]
    expected, found = measure_lookups(lookups, chunk), measure_reuse(trace)
    assert found.hit_tokens.sum() == expected.ceiling_tokens > 0
    assert found.new_blocks.sum() == expected.distinct_units
    for capacity in (1, 100, 1_000):
        assert found.lru_hit_tokens(capacity) == expected.lru_tokens(capacity)


def test_a_run_without_requests_is_told() -> None:
    with pytest.raises(SimulationError, match="no request"):
        trace_of_run([], 256, name="empty")
