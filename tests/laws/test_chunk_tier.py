"""The CPU tier in extents equals the tier of single keys under any order of operations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvsim.cache.make import make_chunk_tier
from tests.tier_steps import VERBS, Twins, keys_of


@given(
    st.integers(1, 24),
    st.sampled_from(["lru", "fifo"]),
    st.lists(
        st.tuples(
            st.sampled_from(VERBS), st.integers(0, 3), st.integers(0, 19), st.integers(0, 10**6)
        ),
        max_size=70,
    ),
)
def test_extents_equal_keys(
    capacity: int, eviction: str, steps: list[tuple[str, int, int, int]]
) -> None:
    tiers = [make_chunk_tier(capacity, eviction, extents=extents) for extents in (True, False)]
    twins = Twins(tiers)
    for request_id, (verb, text, length, choice) in enumerate(steps):
        twins.step(request_id, verb, text, length, choice)
        assert len({tier.used_chunks for tier in tiers}) == 1
        assert len({tier.num_resident for tier in tiers}) == 1
        assert len({tier.busy_chunks for tier in tiers}) == 1
        assert len({tier.evicted_chunks for tier in tiers}) == 1
        for text in range(4):
            for lo in range(20):
                one = keys_of(text, lo, lo + 1)
                assert len({tier.prefix(one) for tier in tiers}) == 1


@given(
    st.integers(1, 24),
    st.sampled_from(["lru", "fifo"]),
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 19), st.integers(0, 19)).map(
            lambda drawn: (drawn[0], *sorted(drawn[1:]))
        ),
        max_size=60,
    ),
)
def test_prompts_served_at_once_equal_their_steps(
    capacity: int, eviction: str, prompts: list[tuple[int, int, int]]
) -> None:
    fast, plain = (
        make_chunk_tier(capacity, eviction, extents=extents) for extents in (True, False)
    )
    for request_id, (text, asked, kept) in enumerate(prompts):
        hits = plain.prefix(keys_of(text, 0, asked))
        plain.pin(request_id, keys_of(text, 0, hits))
        room = plain.can_allocate(kept - hits)
        plain.allocate(room)
        plain.insert(keys_of(text, hits, hits + room), held=False)
        plain.unpin(request_id)
        assert fast.serve(keys_of(text, 0, kept), asked) == hits
        assert fast.used_chunks == plain.used_chunks
        assert fast.evicted_chunks == plain.evicted_chunks
        assert sorted(fast.residents()) == sorted(plain.residents())
