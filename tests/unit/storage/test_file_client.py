"""The fs connector: one FIFO pool of threads for stat, read and write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

World = Any
Make = Callable[..., World]


def test_a_put_is_latency_then_bytes(file_world: Make) -> None:
    world = file_world()
    world.write(7)
    assert (world.client.puts_in_flight, world.client.backlog_bytes) == (1, 100)
    world.clock.run()
    assert world.put_ends == [(7, 2.25)]
    assert world.rows == [("write", 100, 0.0, 0.0, 2.25, 1)]
    assert (world.client.puts_in_flight, world.client.backlog_bytes) == (0, 0)


def test_puts_beyond_the_threads_wait_their_turn(file_world: Make) -> None:
    world = file_world()
    world.write(*range(6))
    assert (world.client.puts_in_flight, world.client.backlog_bytes) == (6, 600)
    world.clock.run()
    assert world.put_ends == [(0, 2.25), (1, 2.25), (2, 2.25), (3, 2.25), (4, 4.5), (5, 4.5)]
    assert world.rows[-1] == ("write", 100, 0.0, 2.25, 4.5, 1)


def test_puts_in_flight_has_fallen_when_the_caller_hears(file_world: Make) -> None:
    world = file_world()
    seen = []
    for key in range(3):
        world.client.write(
            [key], 100, lambda keys: seen.append((*keys, world.client.puts_in_flight))
        )
    world.clock.run()
    assert seen == [(0, 2), (1, 1), (2, 0)]


def test_a_put_asked_for_at_the_end_of_another_goes_behind_the_queue(file_world: Make) -> None:
    world = file_world(client={"threads": 1, "mount_bandwidth": 10_000.0})
    ends = []

    def done(keys: Sequence[int]) -> None:
        ends.extend(keys)
        if keys[0] == 0:
            world.client.write([9], 100, done)

    world.client.write(range(3), 100, done)
    world.clock.run()
    assert ends == [0, 1, 2, 9]


@pytest.mark.parametrize(
    ("n_chunks", "load_s"),
    [
        (1, 0.5 + 1.0),
        (2, 0.5 + 0.1 + 1.0),  # the server carries the other chunk in 0.1 s
        (4, 0.5 + 0.3 + 1.0),
        (8, 0.5 + 0.3 + 2.0),  # four threads at 100 bytes/s
    ],
)
def test_a_lone_load(file_world: Make, n_chunks: int, load_s: float) -> None:
    world = file_world()
    assert world.read_s(n_chunks) == pytest.approx(load_s)
    assert world.reads() == [("read", 100 * n_chunks, 0.0, 0.0, world.clock.now, n_chunks)]


def test_a_load_is_held_to_the_mount(file_world: Make) -> None:
    world = file_world(client={"threads": 4, "mount_bandwidth": 200.0})
    assert world.read_s(8) == pytest.approx(0.5 + 0.5 + 4.0)


def test_an_empty_load_ends_at_once_and_leaves_no_trace(file_world: Make) -> None:
    world = file_world()
    assert world.read_s(0) == 0
    assert world.rows == []


def test_a_load_waits_behind_puts_and_takes_threads_as_they_come_free(file_world: Make) -> None:
    world = file_world(read={"latency": 0.0})
    world.write(100, n_bytes=50)  # its thread is free at 1.25 s
    world.write(101, 102, 103)  # theirs at 2.25 s
    event = world.client.read(range(4), 100)
    world.clock.run(until=event)
    # It starts at 1.25 s and fills its pipeline for 0.3 s; with one thread it has moved 70
    # bytes by 2.25 s, then four threads move the other 330.
    ((_, n_bytes, asked_s, started_s, finished_s, _),) = world.reads()
    assert (n_bytes, asked_s, started_s) == (400, 0.0, 1.25)
    assert finished_s == pytest.approx(2.25 + 330 / 400)


def test_a_put_behind_a_load_waits_until_it_has_all_its_threads(file_world: Make) -> None:
    world = file_world()
    world.write(100, n_bytes=50)
    world.write(101, 102, 103)
    world.client.read(range(8), 100)
    world.write(9)
    world.clock.run()
    finished_s = world.reads()[0][4]
    assert world.rows[-1][:4] == ("write", 100, 0.0, finished_s)


def test_all_threads_come_back(file_world: Make) -> None:
    world = file_world()
    for _ in range(3):
        world.write(1, 2, 3)
        world.client.read(range(9), 100)
        world.client.read(range(2), 100)
    world.clock.run()
    before_s = world.clock.now
    assert world.read_s(8) == pytest.approx(0.5 + 0.3 + 2.0)
    assert world.clock.now > before_s


def test_two_instances_share_the_server(file_world: Make) -> None:
    world = file_world(2, read={"bandwidth": 400.0, "latency": 0.0})
    first = world.clients[0].read(range(4), 100)
    second = world.clients[1].read(range(4), 100)
    world.clock.run(until=first & second)
    assert world.clock.now == pytest.approx(0.75 + 2.0)


def test_a_stat_on_an_idle_client_costs_itself(file_world: Make) -> None:
    world = file_world()
    assert world.client.lookup_s(0) == 0
    assert world.client.lookup_s(1) == pytest.approx(0.01)
    world.write(1, 2, 3)  # one thread is left
    assert world.client.lookup_s(40) == pytest.approx(0.4)


@pytest.mark.parametrize("num_puts", [4, 5, 7, 8, 11, 12])
@pytest.mark.parametrize("now_s", [0.0, 0.1, 1.0, 2.0])
def test_a_stat_waits_as_long_as_a_put_of_that_moment(
    file_world: Make, num_puts: int, now_s: float
) -> None:
    world = file_world()
    world.write(*range(num_puts))
    if now_s:
        world.clock.run(until=now_s)
    estimate_s = world.client.lookup_s(2) - 0.02
    world.write(999)
    world.clock.run()
    (started_s,) = [row[3] for row in world.rows[-1:]]
    assert estimate_s == pytest.approx(started_s - now_s)


def test_a_stat_waits_behind_a_load(file_world: Make) -> None:
    world = file_world()
    world.client.read(range(8), 100)
    assert world.client.lookup_s(1) == pytest.approx(0.01 + 0.5 + 0.3 + 2.0)
    world.clock.run(until=2.0)
    assert world.client.lookup_s(1) == pytest.approx(0.01 + 0.8)


def test_checks_are_never_remembered(file_world: Make) -> None:
    assert file_world().client.remembers_checks is False


def test_threads_default_to_those_of_pythons_pool(file_world: Make) -> None:
    mount = {"mount_bandwidth": 1.0, "threads": None}
    assert file_world(client=mount).client.threads == 20


def test_latency_grows_with_the_servers_load(file_world: Make) -> None:
    world = file_world(
        2,
        read={"bandwidth": 100.0},
        latency_by_load=[(0.0, 1.0), (0.5, 1.0), (1.0, 3.0)],
    )
    assert world.client.lookup_s(1) == pytest.approx(0.01)
    world.clients[1].read(range(1), 100)
    world.clock.run(until=1.0)
    assert world.server.utilisation == 1
    assert world.client.lookup_s(1) == pytest.approx(0.03)
    world.write(1)
    world.clock.run()
    assert world.put_ends == [(1, pytest.approx(1.0 + 0.75 + 2.0))]


def test_the_page_cache_serves_what_was_read_or_written(file_world: Make) -> None:
    world = file_world(page_cache=1000, page_cache_bandwidth=1e4)
    cold_s = world.read_s(4)
    assert world.read_s(4) == pytest.approx(0.5 + 4 * 0.01)
    assert world.server.read_bytes_moved == 400
    world.write(50)
    world.clock.run()
    assert world.read_s(1, first=50) == pytest.approx(0.5 + 0.01)
    assert world.read_s(8, first=0) == pytest.approx(cold_s + 4 * 0.01)
    assert world.server.read_bytes_moved == 800
    assert [row[1] for row in world.reads()] == [400, 400, 100, 800]


def test_a_page_cache_too_small_for_the_working_set_serves_nothing(file_world: Make) -> None:
    world = file_world(page_cache=300, page_cache_bandwidth=1e4)
    cold_s = world.read_s(4)
    for _ in range(3):
        assert world.read_s(3, first=10) == pytest.approx(world.read_s(3, first=20))
    assert world.read_s(4) == pytest.approx(cold_s)
    assert world.read_s(3, first=1) == pytest.approx(0.5 + 3 * 0.01)
