"""Hit rates without time: the rules on traces small enough to work out, bounds on random ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.errors import ConfigError
from kvsim.workload.trace_hits import HitPolicy, ages, count_hits, references
from kvsim.workload.trace_stats import measure_reuse
from kvsim.workload.traces import read_trace
from kvsim.workload.traces.build import TraceBuilder
from kvsim.workload.traces.trace import Trace
from tests.trace_strategies import hashed_trace, texts
from tests.unit.workload.plain_hits import plain_fifo, plain_lru, plain_optimal, plain_policy

EXCERPT = Path(__file__).parents[2] / "data" / "traces" / "mooncake_conversation.jsonl"
POLICIES: tuple[HitPolicy, ...] = get_args(HitPolicy)


def trace_of(*prompts: list[int]) -> Trace:
    """Build a trace from lists of ids for 10 tokens each, a second apart."""
    builder = TraceBuilder("made", "made", hash_tokens=10)
    for row, ids in enumerate(prompts):
        builder.add(
            time_s=float(row),
            prompt_tokens=10 * len(ids),
            output_tokens=1,
            session=None,
            hash_ids=[builder.known(tuple(ids[: end + 1])) for end in range(len(ids))],
        )
    return builder.build()


def tokens(trace: Trace, policy: HitPolicy, capacity: int) -> int:
    return count_hits(references(trace), policy, capacity).hit_tokens


def test_lru_drops_the_end_of_a_prefix_first() -> None:
    trace = trace_of([1, 2, 3], [9], [1, 2, 3])
    assert tokens(trace, "lru", 3) == 20
    assert tokens(trace, "fifo", 3) == 0, "fifo drops the beginning, and nothing after it counts"
    assert tokens(trace, "optimal", 3) == 30, "9 never comes back"


def test_optimal_bypasses_what_does_not_come_back() -> None:
    trace = trace_of([1], [2], [3], [1], [4], [1])
    assert tokens(trace, "optimal", 1) == 20
    assert tokens(trace, "lru", 1) == 0


def test_second_hit_keeps_what_comes_once_out() -> None:
    trace = trace_of([1], [1], [2], [3], [1])
    assert tokens(trace, "second_hit", 1) == 10
    assert tokens(trace, "lru", 1) == 10


def test_no_room_no_hits() -> None:
    for policy in POLICIES:
        assert tokens(trace_of([1], [1]), policy, 0) == 0


@given(texts(), st.booleans(), st.integers(1, 30))
def test_optimal_bounds_all_and_lru_is_the_stack_distance(
    prompts: list[list[int]], partial: bool, capacity: int
) -> None:
    trace = hashed_trace(prompts, partial=partial)
    asked = references(trace)
    found = {policy: count_hits(asked, policy, capacity).hit_tokens for policy in POLICIES}
    reuse = measure_reuse(trace)
    assert found["lru"] == reuse.lru_hit_tokens(capacity)
    everything = count_hits(asked, "lru", asked.num_distinct + 1).hit_tokens
    assert everything == int(reuse.hit_tokens.sum())
    assert max(found.values()) <= everything
    if not partial:  # blocks of one size: Belady's rule is the best
        assert max(found.values()) == found["optimal"]


@given(texts(), st.booleans(), st.integers(1, 30), st.sampled_from([4, 8]))
def test_runs_of_chunks_are_served_as_single_chunks(
    prompts: list[list[int]], partial: bool, capacity: int, chunk_tokens: int
) -> None:
    asked = references(hashed_trace(prompts, partial=partial), chunk_tokens)
    for policy, plain in (
        ("lru", plain_lru),
        ("fifo", plain_fifo),
        ("optimal", plain_optimal),
    ):
        found = plain(asked.prompts, capacity)
        tokens = zip(found, asked.covered, strict=True)
        for from_row in (0, len(prompts) // 2):
            expected = [min(chunks * chunk_tokens, end) for chunks, end in tokens][from_row:]
            hits = count_hits(asked, policy, capacity, from_row=from_row)
            assert hits.hit_tokens == sum(expected), policy
            tokens = zip(found, asked.covered, strict=True)
    assert asked.num_chunks == sum(map(len, asked.prompts))
    assert asked.num_distinct == len(set().union(*asked.prompts))


@given(
    texts(),
    st.integers(1, 30),
    st.sampled_from(["lfu", "mru", "s3fifo", "arc", "cost_aware"]),
    st.sampled_from([float, lambda place: 5.0 - place % 3]),
)
def test_whole_traces_are_served_as_by_the_policies_of_the_tiers(
    prompts: list[list[int]],
    capacity: int,
    policy: Literal["lfu", "mru", "s3fifo", "arc", "cost_aware"],
    cost: Callable[[int], float],
) -> None:
    asked = references(hashed_trace(prompts, partial=False), 4)
    for from_row in range(len(prompts)):
        hits = count_hits(asked, policy, capacity, from_row=from_row, cost=cost)
        found = plain_policy(asked.runs, policy, capacity, cost)
        assert hits.hit_tokens == 4 * sum(found[from_row:])


@given(texts(), st.sampled_from(POLICIES))
def test_an_endless_cache_hits_all_that_repeats(
    prompts: list[list[int]], policy: HitPolicy
) -> None:
    trace = hashed_trace(prompts, partial=False)
    asked = references(trace)
    found = count_hits(asked, policy, 10 * asked.num_distinct + 10).hit_tokens
    if policy != "second_hit":
        assert found == int(measure_reuse(trace).hit_tokens.sum())


def test_excerpt_of_a_public_trace() -> None:
    trace = read_trace(EXCERPT)
    asked = references(trace)
    assert asked.chunk_tokens == 512
    rates = {
        policy: [count_hits(asked, policy, size).rate for size in (16, 64, 10_000)]
        for policy in POLICIES
    }
    reuse = measure_reuse(trace)
    total = int(trace.prompt_tokens.sum())
    assert rates["lru"] == [reuse.lru_hit_tokens(size) / total for size in (16, 64, 10_000)]
    for curve in rates.values():
        assert all(rate <= best for rate, best in zip(curve, rates["optimal"], strict=True))
    assert rates["lru"][-1] == rates["fifo"][-1] == rates["optimal"][-1]


def test_coarser_chunks_share_less() -> None:
    trace = read_trace(EXCERPT)
    fine, coarse = references(trace), references(trace, 1_024)
    assert count_hits(coarse, "lru", 10_000).rate < count_hits(fine, "lru", 10_000).rate
    with pytest.raises(ConfigError, match="finer than the 512"):
        references(trace, 256)


def test_warm_up_must_leave_requests() -> None:
    asked = references(trace_of([1], [1]))
    assert count_hits(asked, "lru", 5, from_row=1).rate == 1.0
    with pytest.raises(ConfigError, match="2 requests, none from 2 on"):
        count_hits(asked, "lru", 5, from_row=2)


def test_ages_tell_thrashing() -> None:
    trace = trace_of([1], [2], [3], [1], [2], [3])
    asked = references(trace)
    thrash = ages(trace, asked, 2)
    assert thrash.at_hit_s.size == 0
    np.testing.assert_array_equal(thrash.at_eviction_s, [2.0] * 4)
    enough = ages(trace, asked, 3)
    np.testing.assert_array_equal(enough.at_hit_s, [3.0] * 3)
    assert enough.at_eviction_s.size == 0
