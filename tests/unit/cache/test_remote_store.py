"""The shared store: endless as LMCache's, or limited as a clean-up from outside makes it."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.cache.keys import parts_key
from kvsim.cache.make import make_remote_store
from kvsim.cache.remote_store import EndlessStore, LimitedStore
from kvsim.cache.tenant_tier import Allowance
from kvsim.spec import RemoteSpec


def spec(**settings: Any) -> RemoteSpec:
    return RemoteSpec.model_validate({"profile": "ontap-pnfs-rdma", **settings})


def run(node: int, lo: int, hi: int) -> range:
    return range(parts_key(node, lo), parts_key(node, hi))


def test_no_limit_is_endless() -> None:
    assert isinstance(make_remote_store(spec(), 10), EndlessStore)
    assert isinstance(make_remote_store(spec(), 10, allowances={"a": Allowance()}), EndlessStore)
    assert isinstance(make_remote_store(spec(capacity=100), 10), LimitedStore)


def test_a_policy_without_a_limit_is_an_error() -> None:
    with pytest.raises(ValueError, match="fifo counts only with a capacity"):
        spec(eviction="fifo")


def test_the_least_recently_found_goes_first() -> None:
    store = make_remote_store(spec(capacity=40), 10)
    store.add(run(1, 0, 2))
    store.add(run(2, 0, 2))
    assert store.look_up([run(1, 0, 5)]) == 2
    store.add(run(3, 0, 2))
    assert store.look_up([run(2, 0, 2)]) == 0
    assert store.look_up([run(1, 0, 2)]) == 2
    assert (len(store), store.evicted_chunks, store.peak_chunks) == (4, 2, 4)


def test_an_upload_of_what_is_there_takes_no_room_but_counts_as_a_use() -> None:
    store = make_remote_store(spec(capacity=40), 10)
    store.add(run(1, 0, 2))
    store.add(run(2, 0, 2))
    store.add(run(1, 0, 2))
    assert store.evicted_chunks == 0
    store.add(run(3, 0, 1))
    assert store.look_up([run(1, 0, 2)]) == 2
    assert sorted(store) == sorted([*run(1, 0, 2), *run(2, 1, 2), *run(3, 0, 1)])


def test_ttl_without_a_limit() -> None:
    now_s = 0.0
    store = make_remote_store(spec(eviction="ttl", ttl="1h"), 10, now=lambda: now_s)
    store.add(run(1, 0, 3))
    now_s = 3_000.0
    assert store.look_up([run(1, 0, 1)]) == 1
    now_s = 5_000.0
    assert store.look_up([run(1, 0, 3)]) == 1, "the first was found within the hour"
    store.add(run(1, 1, 3))
    assert store.look_up([run(1, 0, 3)]) == 3, "uploaded again"
    assert store.capacity_chunks is None


def test_the_first_to_upload_pays() -> None:
    quota = {"a": Allowance(quota=2), "b": Allowance()}
    store = make_remote_store(spec(), 10, allowances=quota)
    assert isinstance(store, LimitedStore)
    store.claim(run(1, 0, 2), "a")
    store.add(run(1, 0, 2))
    store.claim(run(1, 0, 3), "b")
    store.add(run(1, 0, 3))
    assert store.look_up([run(1, 0, 3)]) == 3
    store.claim(run(2, 0, 1), "a")
    store.add(run(2, 0, 1))
    assert len(store) == 3, "the quota of a made it lose one of its own"
    assert store.look_up([run(2, 0, 1)]) == 1


@given(
    st.integers(1, 9),
    st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 6), st.integers(1, 6))),
)
def test_a_limited_store_is_a_list(capacity: int, steps: list[tuple[bool, int, int, int]]) -> None:
    """Keys enter from first to last and are used from last to first; the oldest use goes."""
    store = make_remote_store(spec(capacity=capacity * 10), 10)
    kept: list[int] = []
    for adds, node, lo, length in steps:
        keys = run(node, lo, lo + length)
        if adds:
            store.add(keys)
            left = list(keys)
            while left:
                there = _first(left, kept, there=True)
                kept = [key for key in kept if key not in there] + there[::-1]
                left = left[len(there) :]
                absent = _first(left, kept, there=False)
                entering = absent[:capacity]
                kept = kept[max(0, len(kept) + len(entering) - capacity) :] + entering
                left = left[len(absent) :]
        else:
            found = store.look_up([keys])
            leading = list(keys[:found])
            assert all(key in kept for key in leading)
            assert found == length or keys[found] not in kept
            for key in reversed(leading):
                kept.remove(key)
                kept.append(key)
        assert sorted(store) == sorted(kept)


def _first(keys: list[int], kept: list[int], *, there: bool) -> list[int]:
    return list(takewhile(lambda key: (key in kept) == there, keys))
