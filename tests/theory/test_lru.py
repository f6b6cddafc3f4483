"""The CPU tier's LRU against theory: Che's approximation and the stack property."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from kvsim.cache.make import make_chunk_tier


def hits(references: list[int], capacity: int) -> int:
    """Send references to a tier that stores what it misses, and count the hits."""
    tier = make_chunk_tier(capacity, "lru", extents=True)
    count = 0
    for key in references:
        run = [range(key, key + 1)]
        if tier.prefix(run):
            tier.pin(0, run)
            tier.unpin(0)
            count += 1
        elif tier.can_allocate(1):
            tier.allocate(1)
            tier.insert(run, held=False)
    return count


@pytest.mark.parametrize("capacity", [20, 100, 300])
def test_zipf_references_meet_ches_approximation(capacity: int) -> None:
    num_keys, num_references = 1_000, 200_000
    rates = 1 / np.arange(1, num_keys + 1)
    rates /= rates.sum()
    # Che, Tung, Wang (2002): a key is there if asked for within the time t that fills the cache.
    t = brentq(lambda t: (1 - np.exp(-rates * t)).sum() - capacity, 1e-3, 1e9)
    expected = float((rates * (1 - np.exp(-rates * t))).sum())
    rng = np.random.default_rng(7)
    references = rng.choice(num_keys, num_references, p=rates).tolist()
    warm = num_references // 10
    seen = hits(references, capacity) - hits(references[:warm], capacity)
    assert seen / (num_references - warm) == pytest.approx(expected, abs=0.005)


@given(st.lists(st.integers(0, 12), max_size=80), st.integers(0, 12))
def test_more_room_never_hits_less(references: list[int], capacity: int) -> None:
    assert hits(references, capacity) <= hits(references, capacity + 1)
