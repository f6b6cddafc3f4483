"""LMCache's CPU tier: what leaves, what may not leave, what a second copy costs."""

from __future__ import annotations

import pytest

from kvsim.cache.chunk_tier import ChunkTier
from kvsim.cache.policies import EvictionName


def filled(eviction: EvictionName = "lru", capacity: int = 4) -> ChunkTier:
    tier = ChunkTier(capacity, eviction)
    for key in range(capacity):
        tier.allocate(1)
        tier.insert(key, held=False)
    return tier


def test_chunks_never_looked_up_leave_prefix_first() -> None:
    tier = filled()
    tier.allocate(2)
    assert tier.resident == {2, 3}


def test_a_lookup_turns_the_order_round() -> None:
    tier = filled()
    tier.pin(7, [0, 1, 2, 3])
    tier.unpin(7)
    tier.allocate(2)
    assert tier.resident == {0, 1}, (
        "touched from the last to the first: the end of the prefix leaves"
    )


@pytest.mark.parametrize(
    ("eviction", "left"), [("lru", {1, 2}), ("fifo", {2, 3}), ("lfu", {1, 2}), ("mru", {0, 3})]
)
def test_policies_differ(eviction: EvictionName, left: set[int]) -> None:
    tier = filled(eviction)
    for used in ([1], [1], [3], [1], [2]):
        tier.pin(7, used)
        tier.unpin(7)
    tier.allocate(2)
    assert tier.resident == left


def test_pinned_and_held_chunks_stay() -> None:
    tier = ChunkTier(3, "lru")
    tier.allocate(3)
    tier.insert(0, held=True)
    tier.insert(1, held=False)
    tier.insert(2, held=False)
    tier.pin(7, [1])
    assert tier.can_allocate(3) == 1
    tier.allocate(1)
    assert tier.resident == {0, 1}
    assert tier.can_allocate(1) == 0
    tier.release(0)
    tier.unpin(7)
    assert tier.busy_chunks == 0
    assert tier.can_allocate(9) == 2


def test_a_second_copy_takes_memory_until_its_put_ends() -> None:
    tier = filled(capacity=2)
    tier.allocate(1)  # evicts 0
    tier.insert(1, held=True)
    assert (tier.used_chunks, tier.resident) == (2, {1})
    tier.release(1)
    assert tier.used_chunks == 1
    tier.allocate(1)
    tier.insert(1, held=False)
    assert tier.used_chunks == 1, "without a put the second copy goes at once"


def test_prefix_stops_at_the_first_hole() -> None:
    assert filled().prefix([0, 1, 9, 2]) == 2
