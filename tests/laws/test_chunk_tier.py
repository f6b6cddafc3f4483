"""The CPU tier in extents equals the tier of single keys under any order of operations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvsim.cache.keys import Keys, cut, num_keys, parts_key
from kvsim.cache.make import make_chunk_tier

VERBS = ["store", "store", "lookup", "lookup", "release", "unpin"]


def keys_of(text: int, lo: int, hi: int) -> Keys:
    """Name chunks of a prompt whose first three are shared by all texts."""
    shared = range(parts_key(0, 0), parts_key(0, 3))
    own = range(parts_key(text + 1, 3), parts_key(text + 1, 20))
    return cut([shared, own], lo, hi)


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
    held: list[int] = []
    pinned: list[int] = []
    for request_id, (verb, text, length, choice) in enumerate(steps):
        if verb == "store":
            lo = choice % (length + 1)
            keys = keys_of(text, lo, length)
            granted = [tier.can_allocate(num_keys(keys)) for tier in tiers]
            assert granted[0] == granted[1]
            keys = cut(keys, 0, granted[0])
            for tier in tiers:
                tier.allocate(granted[0])
                tier.insert(keys, held=bool(choice % 3 == 0))
            if choice % 3 == 0:
                held += [key for run in keys for key in run]
        elif verb == "lookup":
            keys = keys_of(text, 0, length)
            found = [tier.prefix(keys) for tier in tiers]
            assert found[0] == found[1]
            if found[0]:
                for tier in tiers:
                    tier.pin(request_id, cut(keys, 0, found[0]))
                pinned.append(request_id)
        elif verb == "release" and held:
            key = held.pop(choice % len(held))
            for tier in tiers:
                tier.release([key])
        elif verb == "unpin" and pinned:
            request = pinned.pop(choice % len(pinned))
            for tier in tiers:
                tier.unpin(request)
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
