"""The extent pool equals the block-by-block pool under any order of operations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvsim.cache.block_oracle import BlockPool
from kvsim.cache.gpu_pool import GpuPool

BLOCK_TOKENS = 4
FAR = 1 << 40


@st.composite
def programs(draw: st.DrawFn) -> tuple[int, list[tuple[str, int, int, int]]]:
    """Draw a pool size and a program of (verb, text, tokens, choice)."""
    num_blocks = draw(st.integers(3, 40))
    verbs = st.sampled_from(["admit", "admit", "grow", "commit", "free", "free"])
    step = st.tuples(verbs, st.integers(0, 4), st.integers(1, 60), st.integers(0, 10**6))
    return num_blocks, draw(st.lists(step, max_size=60))


def path_of(text: int) -> tuple[tuple[int, int], ...]:
    """Share the first 14 tokens between all texts, and 26 between texts 3 and 4."""
    if text >= 3:
        return ((0, 14), (3, 26), (text + 10, FAR))
    return ((0, 14), (text + 10, FAR))


@given(programs())
def test_extents_equal_blocks(program: tuple[int, list[tuple[str, int, int, int]]]) -> None:
    num_blocks, steps = program
    fast, plain = GpuPool(num_blocks, BLOCK_TOKENS), BlockPool(num_blocks, BLOCK_TOKENS)
    live: dict[int, tuple[tuple[tuple[int, int], ...], int]] = {}
    for request_id, (verb, text, tokens, choice) in enumerate(steps):
        chosen = sorted(live)[choice % len(live)] if live else None
        if verb == "admit":
            path = path_of(text)
            hits = fast.lookup(path, (tokens - 1) // BLOCK_TOKENS)
            assert hits == plain.lookup(path, (tokens - 1) // BLOCK_TOKENS)
            assert fast.idle_hits(path, hits) == plain.idle_hits(path, hits)
            now = min(tokens, hits * BLOCK_TOKENS + 1 + choice % 30)
            ok = fast.admit(request_id, path, hits, now, tokens)
            assert ok == plain.admit(request_id, path, hits, now, tokens)
            if ok:
                live[request_id] = (path, now)
                for pool in (fast, plain):
                    pool.commit(request_id, path, now)
        elif chosen is not None:
            path, held = live[chosen]
            if verb == "grow":
                more = held + choice % 9
                assert fast.lacking(chosen, more) == plain.lacking(chosen, more)
                ok = fast.grow(chosen, more)
                assert ok == plain.grow(chosen, more)
                if ok:
                    live[chosen] = (path, more)
            elif verb == "commit":
                for pool in (fast, plain):
                    pool.commit(chosen, path, held)
            else:
                for pool in (fast, plain):
                    pool.free(chosen)
                del live[chosen]
        assert fast.free_blocks == plain.free_blocks
        assert fast.used_blocks == plain.used_blocks
        assert fast.evicted_blocks == plain.evicted_blocks
        assert sorted(set(fast.hits())) == sorted(set(plain.hits()))
    for request_id in sorted(live):
        for pool in (fast, plain):
            pool.free(request_id)
    assert fast.free_blocks == plain.free_blocks == num_blocks


@given(
    st.integers(3, 40),
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 60), st.integers(0, 30)), max_size=60),
)
def test_requests_served_at_once_equal_their_four_steps(
    num_blocks: int, requests: list[tuple[int, int, int]]
) -> None:
    fast, plain = GpuPool(num_blocks, BLOCK_TOKENS), BlockPool(num_blocks, BLOCK_TOKENS)
    for request_id, (text, prompt, answer) in enumerate(requests):
        path, most, tokens = path_of(text), (prompt - 1) // BLOCK_TOKENS, prompt + answer
        hits = plain.lookup(path, most)
        assert fast.serve(path, most, tokens) == hits
        if plain.admit(request_id, path, hits, tokens, tokens):
            plain.commit(request_id, path, tokens)
            plain.free(request_id)
        assert fast.free_blocks == plain.free_blocks == num_blocks
        assert fast.used_blocks == plain.used_blocks
        assert fast.evicted_blocks == plain.evicted_blocks
        assert sorted(set(fast.hits())) == sorted(set(plain.hits()))
