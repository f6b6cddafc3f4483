"""What clients share: factors, the fill of a pipeline, grouped starts, the page cache."""

from __future__ import annotations

import pytest

from kvsim.des import Clock, Link
from kvsim.storage.client import Starts, latency_factor, pipeline_fill_s
from kvsim.storage.page_cache import PageCache


@pytest.mark.parametrize(
    ("utilisation", "factor"), [(0.0, 1.0), (0.2, 1.0), (0.4, 1.5), (0.6, 2.0), (0.8, 6.0), (1, 6)]
)
def test_latency_factor_is_piecewise_linear_and_flat_outside(
    utilisation: float, factor: float
) -> None:
    points = [(0.2, 1.0), (0.6, 2.0), (0.8, 6.0)]
    assert latency_factor(points, utilisation) == pytest.approx(factor)


def test_latency_without_points_does_not_grow() -> None:
    assert latency_factor((), 1.0) == 1


def test_a_single_stream_has_no_pipeline_to_fill() -> None:
    assert pipeline_fill_s(100, 1, 10.0, 1e9) == 0
    assert pipeline_fill_s(100, 1, 10.0, 5.0) == 0
    assert pipeline_fill_s(100, 4, 10.0, 20.0) == pytest.approx(10.0 - 5.0)


def test_starts_of_one_instant_share_an_event_and_keep_their_order() -> None:
    clock = Clock()
    starts = Starts(clock, Link(clock, read_bytes_per_s=1.0, write_bytes_per_s=1.0))
    log: list[tuple[str, float]] = []

    def begin(name: str) -> None:
        log.append((name, clock.now))
        if name == "c":
            starts.add(2.0, lambda: begin("late"))  # this instant again, from within it

    for name in "abc":
        starts.add(2.0, lambda name=name: begin(name))  # type: ignore[misc]
    assert clock.num_events == 1
    clock.run()
    assert log == [("a", 2.0), ("b", 2.0), ("c", 2.0), ("late", 2.0)]
    assert clock.num_events == 2


def test_starts_of_mixed_instants_lose_none() -> None:
    clock = Clock()
    starts = Starts(clock, Link(clock, read_bytes_per_s=1.0, write_bytes_per_s=1.0))
    log: list[tuple[int, float]] = []
    for number, when_s in enumerate((2.0, 3.0, 2.0, 2.0, 1.0)):
        starts.add(when_s, lambda number=number: log.append((number, clock.now)))  # type: ignore[misc]
    clock.run()
    assert log == [(4, 1.0), (0, 2.0), (2, 2.0), (3, 2.0), (1, 3.0)]


def test_the_page_cache_keeps_the_most_recently_used_files() -> None:
    cache = PageCache(300)
    for key in (1, 2, 3):
        cache.put(key, 100)
    cache.put(1, 100)
    cache.put(4, 100)
    assert [key in cache for key in (1, 2, 3, 4)] == [True, False, True, True]
    assert cache.used_bytes == 300
    assert cache.count([1, 2, 3]) == 2


def test_the_page_cache_never_keeps_more_than_it_has_room_for() -> None:
    cache = PageCache(250)
    cache.put(1, 100)
    cache.put(2, 300)
    assert cache.used_bytes == 0
    cache.put(1, 100)
    cache.put(1, 200)
    assert cache.used_bytes == 200
