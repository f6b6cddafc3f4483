"""The eviction policies, against libCacheSim where it has them; admission; expiry."""

from __future__ import annotations

import random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.cache.chunk_tier import ChunkTier
from kvsim.cache.keys import parts_key
from kvsim.cache.make import make_chunk_tier
from kvsim.cache.policies import make_policy
from kvsim.spec.offload import EvictionName


def references(seed: int) -> tuple[int, list[int]]:
    """Draw a capacity and a reference string with popular keys, scans and noise."""
    rng = random.Random(seed)
    capacity = rng.choice([20, 50, 100])
    distinct = capacity * rng.choice([2, 5])
    keys = [
        min(int(rng.paretovariate(0.6)), distinct)
        if rng.random() < 0.7
        else rng.randrange(distinct)
        for _ in range(3_000)
    ]
    return capacity, keys


def hits_of(name: EvictionName, capacity: int, keys: list[int]) -> list[bool]:
    policy = make_policy(name, capacity)
    resident: set[int] = set()
    found = []
    for key in keys:
        found.append(key in resident)
        if found[-1]:
            policy.touch([key])
            continue
        policy.expect(key)
        if len(resident) >= capacity:
            resident.difference_update(policy.evict(1, ()))
        policy.insert(key)
        resident.add(key)
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("name", "theirs"),
    [("lru", "LRU"), ("fifo", "FIFO"), ("lfu", "LFU"), ("s3fifo", "S3FIFO"), ("arc", "ARC")],
)
def test_every_decision_is_that_of_libcachesim(name: EvictionName, theirs: str, seed: int) -> None:
    # Above 10 keys: libCacheSim's S3-FIFO refuses what fills its small queue.
    library = pytest.importorskip("libcachesim")
    capacity, keys = references(seed)
    cache = getattr(library, theirs)(capacity)
    expected = []
    for key in keys:
        request = library.Request()
        request.obj_id, request.obj_size = key, 1
        expected.append(bool(cache.get(request)))
    assert hits_of(name, capacity, keys) == expected


@given(
    st.sampled_from(get_args(EvictionName)),
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=60),
)
def test_busy_keys_stay_and_all_others_can_go(
    name: EvictionName, capacity: int, uses: list[tuple[int, bool]]
) -> None:
    policy = make_policy(name, capacity)
    resident: set[int] = set()
    busy: set[int] = set()
    for key, is_busy in uses:
        if key in resident:
            policy.touch([key])
            busy.symmetric_difference_update({key} if is_busy else ())
            continue
        if len(resident) >= capacity:
            if len(busy) == len(resident):
                continue
            gone = policy.evict(1, busy)
            assert len(gone) == 1
            assert gone[0] in resident - busy
            resident.difference_update(gone)
        policy.insert(key)
        resident.add(key)
        if is_busy:
            busy.add(key)
    idle = resident - busy
    assert sorted(policy.evict(len(idle), busy)) == sorted(idle)


def test_s3fifo_keeps_what_is_used_through_a_scan() -> None:
    hot = list(range(5)) * 4
    keys = hot + list(range(100, 200)) + hot
    assert sum(hits_of("s3fifo", 20, keys)[-20:]) == 20
    assert sum(hits_of("lru", 20, keys)[-20:]) == 15


def test_cost_aware_keeps_the_deep_text_and_drops_its_end_first() -> None:
    policy = make_policy("cost_aware", 8, cost=lambda place: 1.0 + place)
    for place in range(4):
        policy.insert(parts_key(1, place))
    for place in range(2):
        policy.insert(parts_key(2, place))
    assert policy.evict(3, ()) == [parts_key(2, 1), parts_key(2, 0), parts_key(1, 3)]


def test_cost_aware_ages_what_nobody_uses() -> None:
    policy = make_policy("cost_aware", 8, cost=lambda place: 1.0 + place)
    policy.insert(parts_key(1, 3))
    for node in range(2, 40):  # cheap ones, each used once, raise the age to the dear one's rank
        policy.insert(parts_key(node, 0))
        if policy.evict(1, ()) == [parts_key(1, 3)]:
            return
        policy.insert(parts_key(node + 100, 0))
    raise AssertionError("what is dear once would stay for ever")


def store(tier: ChunkTier, keys: range) -> None:
    tier.allocate(len(keys))
    tier.insert([keys], held=False)


def test_ttl_counts_from_the_last_use() -> None:
    now_s = 0.0
    tier = make_chunk_tier(10, "ttl", extents=True, ttl_s=100.0, now=lambda: now_s)
    store(tier, range(4))
    now_s = 90.0
    assert tier.prefix([range(4)]) == 4
    tier.pin(1, [range(2)])
    tier.unpin(1)
    now_s = 150.0
    assert tier.prefix([range(4)]) == 2, "chunks 2 and 3 were last used 150 s ago"
    assert tier.num_resident == 4, "their room is taken when it is needed"
    store(tier, range(2, 4))
    assert tier.prefix([range(4)]) == 4
    assert tier.used_chunks == 4


def test_ttl_forgets_what_was_evicted() -> None:
    tier = make_chunk_tier(2, "ttl", extents=True, ttl_s=100.0, now=lambda: 0.0)
    store(tier, range(2))
    store(tier, range(10, 12))
    assert tier.prefix([range(2)]) == 0
    assert tier.prefix([range(10, 12)]) == 2


@pytest.mark.parametrize("eviction", get_args(EvictionName))
def test_second_hit_admits_what_is_offered_twice(eviction: EvictionName) -> None:
    tier = make_chunk_tier(10, eviction, extents=True, admission="second_hit")
    store(tier, range(4))
    assert (tier.used_chunks, tier.prefix([range(4)])) == (0, 0)
    store(tier, range(2))
    assert (tier.used_chunks, tier.prefix([range(4)])) == (2, 2)
    store(tier, range(2))
    assert tier.used_chunks == 2, "what is there is neither entered nor offered again"


def test_second_hit_keeps_memory_while_a_put_reads_it() -> None:
    tier = make_chunk_tier(10, "lru", extents=True, admission="second_hit")
    tier.allocate(4)
    tier.insert([range(4)], held=True)
    assert (tier.used_chunks, tier.num_resident, tier.busy_chunks) == (4, 0, 4)
    tier.release(range(4))
    assert (tier.used_chunks, tier.busy_chunks) == (0, 0)
