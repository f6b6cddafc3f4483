"""Reuse distances against a list that is kept block by block."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.workload.trace_stats import measure_reuse, weighted_quantiles, windows
from kvsim.workload.trace_summary import summarise_trace
from kvsim.workload.traces import Trace, read_trace
from tests.trace_strategies import GRAIN, hashed_trace, texts

DATA = Path(__file__).parents[2] / "data" / "traces"


def lru_hit_tokens(trace: Trace, capacity: int) -> list[int]:
    """Count per request: look up, then touch the blocks from last to first, then evict."""
    cache: OrderedDict[tuple[int, int], None] = OrderedDict()
    hits: list[int] = []
    for row in range(len(trace)):
        scope = int(trace.scope[row])
        blocks = [(scope, block) for block in trace.hashes(row).tolist()]
        count = 0
        while count < len(blocks) and blocks[count] in cache:
            count += 1
        hits.append(min(count * trace.hash_tokens, int(trace.prompt_tokens[row])))
        for block in reversed(blocks):
            cache[block] = None
            cache.move_to_end(block)
        while len(cache) > capacity:
            cache.popitem(last=False)
    return hits


@given(texts(), st.booleans(), st.integers(1, 40))
def test_lru_hits_of_any_size_equal_the_plain_list(
    prompts: list[list[int]], partial: bool, capacity: int
) -> None:
    trace = hashed_trace(prompts, partial=partial)
    reuse = measure_reuse(trace)
    expected = lru_hit_tokens(trace, capacity)
    assert reuse.lru_hit_tokens(capacity) == sum(expected)
    half = len(trace) // 2
    assert reuse.lru_hit_tokens(capacity, from_row=half) == sum(expected[half:])
    assert reuse.hit_tokens.tolist() == lru_hit_tokens(trace, 10**9)


@given(texts(), st.integers(1, 6))
def test_working_sets_count_distinct_blocks(prompts: list[list[int]], num: int) -> None:
    trace = hashed_trace(prompts, partial=True)
    found = windows(trace, measure_reuse(trace), num)
    seen: set[int] = set()
    edges = [window.start_s for window in found[1:]]
    place = np.searchsorted(edges, trace.time_s, side="right")
    for index, window in enumerate(found):
        rows = np.flatnonzero(place == index).tolist()
        blocks = {block for row in rows for block in trace.hashes(row).tolist()}
        seen |= blocks
        assert window.requests == len(rows)
        assert window.working_set_tokens == len(blocks) * GRAIN
        assert window.seen_tokens == len(seen) * GRAIN


def test_excerpt_equals_the_plain_list() -> None:
    for name in ("mooncake_conversation.jsonl", "kv_cache_tester.parquet"):
        trace = read_trace(DATA / name)
        reuse = measure_reuse(trace)
        for capacity in (1, 8, 64, 512, 4096):
            assert reuse.lru_hit_tokens(capacity) == sum(lru_hit_tokens(trace, capacity)), name


def test_sessions_without_ids_repeat_their_prompts() -> None:
    trace = hashed_trace([[0] * 9, [0] * 20], partial=False, sessions=["s", "s"])
    bare = Trace(**{**{f: getattr(trace, f) for f in trace.__slots__}, "hash_tokens": 0})
    assert measure_reuse(bare).hit_tokens.tolist() == [0, 9]
    assert measure_reuse(trace).hit_tokens.tolist() == [0, 8]


def test_summary_is_plain_and_complete() -> None:
    trace = read_trace(DATA / "kv_cache_tester.parquet")
    summary = summarise_trace(trace, measure_reuse(trace))
    assert summary["requests"] == 45
    assert summary["sessions"] == 5
    assert summary["requests_per_s"] is None
    assert summary["lru"][-1]["hit_rate"] == pytest.approx(summary["ideal_hit_rate"])
    assert sum(window["requests"] for window in summary["windows"]) == 45
    rates = [row["hit_rate"] for row in summary["lru"]]
    assert rates == sorted(rates)


def test_weighted_quantiles() -> None:
    assert weighted_quantiles(np.array([5, 1, 3]), np.array([1, 1, 8]), [0.5, 1.0]) == [3.0, 5.0]
    assert np.isnan(weighted_quantiles(np.array([]), np.array([], dtype=np.int64), [0.5])[0])
