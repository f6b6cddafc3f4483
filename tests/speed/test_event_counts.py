"""How many events a run takes: exact, and the same on every machine, unlike its wall time."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest

from kvsim.simulate import World, simulate

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks import scenarios

EVENTS = {"storagegrid": 41_163, "many_users": 50_473, "thrashing": 40_789}


@pytest.mark.parametrize("name", EVENTS)
def test_a_run_takes_so_many_events(name: str) -> None:
    """A change here is a change of results, or of what is done at once; say which."""
    summary = simulate(getattr(scenarios, name)()).summary_dict()
    assert summary["events"] == EVENTS[name]


def test_events_grow_with_requests_only() -> None:
    few, many = (simulate(scenarios.growth(n)).summary_dict() for n in (2_400, 9_600))
    per_request = [one["events"] / one["launched"] for one in (few, many)]  # type: ignore[operator]
    assert per_request[1] < 1.1 * per_request[0]


def test_a_run_makes_no_garbage() -> None:
    """A run keeps the collector off, so what refers to itself would stay until its end."""
    world = World(scenarios.growth(2_400), coalesce=True)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        world.run()
        gc.collect()
        found = {type(thing) for thing in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not [kind.__name__ for kind in found if kind.__module__.startswith("kvsim")]
