"""LMCache's CPU tier: what leaves, what may not leave, what a second copy costs."""

from __future__ import annotations

import pytest

from kvsim.cache.chunk_tier import ChunkTier
from kvsim.cache.make import make_chunk_tier
from kvsim.cache.policies import EvictionName

BOTH = pytest.mark.parametrize("extents", [False, True])


def resident(tier: ChunkTier, *, below: int = 10) -> set[int]:
    return {key for key in range(below) if tier.prefix([range(key, key + 1)])}


def filled(eviction: EvictionName = "lru", *, capacity: int = 4, extents: bool) -> ChunkTier:
    tier = make_chunk_tier(capacity, eviction, extents=extents)
    tier.allocate(capacity)
    tier.insert([range(capacity)], held=False)
    return tier


@BOTH
def test_chunks_never_looked_up_leave_prefix_first(extents: bool) -> None:
    tier = filled(extents=extents)
    tier.allocate(2)
    assert resident(tier) == {2, 3}


@BOTH
def test_a_lookup_turns_the_order_round(extents: bool) -> None:
    tier = filled(extents=extents)
    tier.pin(7, [range(4)])
    tier.unpin(7)
    tier.allocate(2)
    assert resident(tier) == {0, 1}, "touched from the last to the first: the end leaves"


@BOTH
@pytest.mark.parametrize(
    ("eviction", "left"), [("lru", {1, 2}), ("fifo", {2, 3}), ("lfu", {1, 2}), ("mru", {0, 3})]
)
def test_policies_differ(eviction: EvictionName, left: set[int], extents: bool) -> None:
    tier = filled(eviction, extents=extents)
    for used in (1, 1, 3, 1, 2):
        tier.pin(7, [range(used, used + 1)])
        tier.unpin(7)
    tier.allocate(2)
    assert resident(tier) == left


@BOTH
def test_pinned_and_held_chunks_stay(extents: bool) -> None:
    tier = make_chunk_tier(3, "lru", extents=extents)
    tier.allocate(3)
    tier.insert([range(1)], held=True)
    tier.insert([range(1, 3)], held=False)
    tier.pin(7, [range(1, 2)])
    assert tier.can_allocate(3) == 1
    tier.allocate(1)
    assert resident(tier) == {0, 1}
    assert tier.can_allocate(1) == 0
    tier.release([0])
    tier.unpin(7)
    assert tier.busy_chunks == 0
    assert tier.can_allocate(9) == 2


@BOTH
def test_a_second_copy_takes_memory_until_its_put_ends(extents: bool) -> None:
    tier = filled(capacity=2, extents=extents)
    tier.allocate(1)  # evicts 0
    tier.insert([range(1, 2)], held=True)
    assert (tier.used_chunks, resident(tier)) == (2, {1})
    tier.release([1])
    assert tier.used_chunks == 1
    tier.allocate(1)
    tier.insert([range(1, 2)], held=False)
    assert tier.used_chunks == 1, "without a put the second copy goes at once"


@BOTH
def test_prefix_stops_at_the_first_hole(extents: bool) -> None:
    tier = filled(extents=extents)
    assert tier.prefix([range(2), range(9, 10), range(2, 3)]) == 2
    assert tier.prefix([range(2), range(2, 6)]) == 4
