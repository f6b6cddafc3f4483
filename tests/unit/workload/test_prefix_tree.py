"""Paths say exactly what hash ids say: equal units where texts agree, and nowhere else."""

from itertools import chain, combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvsim.cache.keys import Path, unit_keys
from kvsim.workload.prefix_tree import PrefixTree, build_paths, shift_path
from kvsim.workload.request import NO_END
from kvsim.workload.traces.build import TraceBuilder
from kvsim.workload.traces.trace import Trace
from tests.trace_strategies import GRAIN, common_tokens, hashed_trace, texts


def keys(path: Path, unit: int, tokens: int) -> list[int]:
    return list(chain.from_iterable(unit_keys(path, unit, 0, tokens // unit)))


def shared(first: list[int], second: list[int]) -> int:
    count = 0
    while count < min(len(first), len(second)) and first[count] == second[count]:
        count += 1
    return count


@given(texts(), st.booleans())
def test_prompts_share_the_units_of_their_common_blocks(
    prompts: list[list[int]], partial: bool
) -> None:
    trace = hashed_trace(prompts, partial=partial)
    paths = build_paths(trace).paths
    for unit in (1, 2, 4, 8, 6):
        named = [keys(path, unit, len(p)) for path, p in zip(paths, prompts, strict=True)]
        for a, b in combinations(range(len(prompts)), 2):
            expected = common_tokens(prompts[a], prompts[b], partial=partial) // unit
            assert shared(named[a], named[b]) == expected
            assert len({*named[a]} & {*named[b]}) == expected, "no unit is shared further on"


@given(texts())
def test_the_tree_counts_what_any_earlier_prompt_had(prompts: list[list[int]]) -> None:
    trace = hashed_trace(prompts, partial=True)
    tree = PrefixTree(trace.hash_ids)
    for row, prompt in enumerate(prompts):
        start, count = int(trace.hash_starts[row]), int(trace.hash_counts[row])
        full = len(prompt) // GRAIN
        match = tree.insert(0, start, full, partial=count > full)
        best = max((common_tokens(prompt, old, partial=True) for old in prompts[:row]), default=0)
        assert min(match.hit_blocks * GRAIN, len(prompt)) == best


@given(texts())
def test_paths_are_well_formed(prompts: list[list[int]]) -> None:
    found = build_paths(hashed_trace(prompts, partial=True))
    for path in found.paths:
        ends = [end for _, end in path]
        assert ends == sorted(set(ends))
        assert ends[-1] == NO_END
        assert all(0 <= node < found.num_nodes for node, _ in path)
    private = [path[-1][0] for path in found.paths]
    assert len(set(private)) == len(private)


def growing(*lengths: tuple[int, int]) -> Trace:
    """Build one session of prompts that repeat the one before, without hash ids."""
    builder = TraceBuilder("drawn", "drawn")
    for turn, (prompt, answer) in enumerate(lengths):
        builder.add(time_s=turn, prompt_tokens=prompt, output_tokens=answer, session="s")
    return builder.build()


def test_an_answer_is_shared_with_the_next_turn_that_holds_it() -> None:
    first, second, third = build_paths(growing((10, 5), (20, 4), (22, 1))).paths
    assert shared(keys(first, 1, 15), keys(second, 1, 20)) == 15
    assert shared(keys(second, 1, 24), keys(third, 1, 22)) == 20, "too short to hold the answer"
    assert shared(keys(first, 1, 15), keys(third, 1, 22)) == 15


def test_private_answers_are_not_shared() -> None:
    first, second = build_paths(growing((10, 5), (20, 4)), answers="private").paths
    assert shared(keys(first, 1, 15), keys(second, 1, 20)) == 10


def test_a_shorter_prompt_begins_a_new_text() -> None:
    first, second, third = build_paths(growing((30, 5), (12, 4), (40, 1))).paths
    assert not {*keys(first, 1, 35)} & {*keys(second, 1, 16), *keys(third, 1, 40)}
    assert shared(keys(second, 1, 16), keys(third, 1, 40)) == 16


@pytest.mark.parametrize(("next_prompt", "expected"), [(20, 13), (12, 8)])
def test_hashed_answers_are_shared_if_the_next_turn_repeats_all_full_blocks(
    next_prompt: int, expected: int
) -> None:
    prompts = [[0] * 10, [0] * next_prompt]
    trace = hashed_trace(prompts, partial=False, sessions=["s", "s"])
    first, second = build_paths(trace).paths
    assert shared(keys(first, 1, 13), keys(second, 1, next_prompt)) == expected


def test_another_text_in_the_next_turn_keeps_the_answer_private() -> None:
    prompts = [[0] * 10, [0, 0, 0, 0, 1, *[0] * 20]]
    trace = hashed_trace(prompts, partial=False, sessions=["s", "s"])
    first, second = build_paths(trace).paths
    assert shared(keys(first, 1, 13), keys(second, 1, 25)) == 4


def test_scopes_keep_equal_ids_apart() -> None:
    builder = TraceBuilder("drawn", "drawn", hash_tokens=4)
    for scope in ("a", "b", "a"):
        builder.add(time_s=0, prompt_tokens=8, output_tokens=1, scope=scope, hash_ids=[1, 2])
    first, second, third = build_paths(builder.build()).paths
    assert not {*keys(first, 4, 8)} & {*keys(second, 4, 8)}
    assert keys(first, 4, 8) == keys(third, 4, 8)


def test_a_session_that_only_grows_needs_few_nodes() -> None:
    prompts = [[0] * (8 * n) for n in range(1, 40)]
    found = build_paths(hashed_trace(prompts, partial=False))
    assert {path[0][0] for path in found.paths} == {found.paths[0][0][0]}
    assert max(len(path) for path in found.paths) == 2


@settings(max_examples=20)
@given(texts(max_size=8), st.integers(0, 1000))
def test_shifted_paths_share_nothing_with_the_first(prompts: list[list[int]], extra: int) -> None:
    found = build_paths(hashed_trace(prompts, partial=True))
    nodes = {node for path in found.paths for node, _ in path}
    moved = [shift_path(path, found.num_nodes + extra) for path in found.paths]
    assert not nodes & {node for path in moved for node, _ in path}
