"""Replays over runs of units equal replays unit by unit, and bounds are bounds."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvsim.cache.keys import Path, unit_keys
from kvsim.plan.reuse import Lookup, Reuse, knee, lookups_of, measure_reuse
from kvsim.plan.trial import try_out
from kvsim.spec import Scenario
from kvsim.workload.request import NO_END

UNIT = 4


def units_of(path: Path, tokens: int) -> list[int]:
    return [key for run in unit_keys(path, UNIT, 0, tokens // UNIT) for key in run]


def lru_by_units(lookups: list[Lookup], capacity: int) -> list[int]:
    """Touch each prompt from its last unit to its first, then cut the list to the capacity."""
    order: OrderedDict[int, None] = OrderedDict()
    found = []
    for lookup in lookups:
        hits = 0
        for key in units_of(lookup.path, lookup.tokens):
            if key not in order:
                break
            hits += 1
        found.append(hits)
        for key in reversed(units_of(lookup.path, lookup.kept_tokens)):
            order[key] = None
            order.move_to_end(key)
        while len(order) > capacity:
            order.popitem(last=False)
    return found


def optimal_by_units(lookups: list[Lookup], capacity: int) -> list[int]:
    """Keep the units that are needed soonest; of those needed together, the first of a prompt.

    A unit that is written before it is read again is not needed.
    """
    events: dict[int, list[tuple[int, bool]]] = {}
    for index, lookup in enumerate(lookups):
        num_read = len(units_of(lookup.path, lookup.tokens))
        for place, key in enumerate(units_of(lookup.path, lookup.kept_tokens)):
            events.setdefault(key, []).append((index, place < num_read))
    kept: set[int] = set()
    found = []
    for index, lookup in enumerate(lookups):
        hits = 0
        for key in units_of(lookup.path, lookup.tokens):
            if key not in kept:
                break
            hits += 1
        found.append(hits)
        kept.update(units_of(lookup.path, lookup.kept_tokens))
        following = {key: next((e for e in events[key] if e[0] > index), None) for key in kept}
        ranked = sorted(
            (event[0], key & 0xFFFFFF, key)
            for key, event in following.items()
            if event is not None and event[1]
        )
        kept = {key for _, _, key in ranked[:capacity]}
    return found


@st.composite
def conversations(draw: st.DrawFn) -> list[Lookup]:
    """Make sessions that share a text, grow, and sometimes go back or branch."""
    shared = draw(st.integers(0, 20))
    lookups = []
    for step in range(draw(st.integers(1, 25))):
        session = draw(st.integers(1, 4))
        branch = draw(st.integers(0, 2))
        cut = draw(st.integers(shared, shared + 30))
        path: Path = ((0, shared), (session, NO_END))
        if branch:
            path = ((0, shared), (session, shared + 12), (10 * session + branch, NO_END))
        lookups.append(Lookup(path, cut, cut + draw(st.integers(0, 12)), float(step)))
    return lookups


@settings(max_examples=100)
@given(conversations(), st.integers(0, 40))
def test_lru_equals_a_list_of_units(lookups: list[Lookup], capacity: int) -> None:
    reuse = measure_reuse(lookups, UNIT)
    assert reuse.lru_units(capacity).tolist() == lru_by_units(lookups, capacity)


@settings(max_examples=100)
@given(conversations(), st.integers(0, 40))
def test_optimum_equals_one_of_units(lookups: list[Lookup], capacity: int) -> None:
    reuse = measure_reuse(lookups, UNIT)
    assert int(reuse.optimal_units(capacity).sum()) == sum(optimal_by_units(lookups, capacity))


@settings(max_examples=100)
@given(conversations())
def test_bounds_and_monotone(lookups: list[Lookup]) -> None:
    reuse = measure_reuse(lookups, UNIT)
    capacities = range(reuse.distinct_units + 2)
    lru = [reuse.lru_tokens(n) for n in capacities]
    best = [reuse.optimal_tokens(n) for n in capacities]
    assert lru == sorted(lru)
    assert best == sorted(best)
    assert all(a <= b for a, b in zip(lru, best, strict=True))
    assert lru[reuse.distinct_units] == best[reuse.distinct_units] == reuse.ceiling_tokens
    assert reuse.ceiling_tokens <= reuse.prompt_tokens


def test_ages() -> None:
    path: Path = ((1, NO_END),)
    lookups = [Lookup(path, 40, 40, 0.0), Lookup(path, 40, 40, 5.0), Lookup(path, 40, 40, 105.0)]
    reuse = measure_reuse(lookups, UNIT)
    assert reuse.age_for(0.5) == 5.0
    assert reuse.age_for(0.51) == 100.0
    assert measure_reuse(lookups[:1], UNIT).age_for(0.5) is None


def test_no_lookups() -> None:
    reuse = measure_reuse([], UNIT)
    assert (reuse.ceiling_tokens, reuse.distinct_units, reuse.optimal_tokens(5)) == (0, 0, 0)


def test_knee() -> None:
    assert knee([0, 1, 2, 3, 100], [0, 0.1, 0.2, 0.9, 1.0]) == 3
    assert knee([0, 1, 2], [0, 1, 2]) is None
    assert knee([0, 1, 2], [1, 1, 1]) is None
    assert knee([0, 1], [0, 1]) is None


@pytest.mark.parametrize("gib", [0, 2, 5, 20])
def test_simulations_stay_below_the_bound(qa: Scenario, gib: int) -> None:
    scenario = qa.replace({"offload.cpu.capacity": f"{gib}GiB", "offload.remote": None})
    trial = try_out(scenario)
    block_tokens = scenario.engine.block_tokens
    block_bytes = scenario.model.kv_bytes_per_token * block_tokens
    room = scenario.num_gpu_blocks - 1 + gib * 2**30 // block_bytes
    for instance in range(scenario.instances):
        reuse: Reuse = measure_reuse(lookups_of(trial.requests, instance), block_tokens)
        hits = sum(
            r.hit_tokens_hbm + r.hit_tokens_cpu
            for r in trial.requests
            if r.instance == instance and not r.warmup
        )
        assert hits <= reuse.optimal_tokens(room)
        if gib == 20:
            assert hits >= 0.9 * reuse.ceiling_tokens
