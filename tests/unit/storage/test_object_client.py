"""The s3 connector: uploads take turns, reads do not, connections are shared."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import Any

import pytest

from kvsim.storage.object_client import warmup_extra_s

World = Any
Make = Callable[..., World]


def test_a_put_is_three_round_trips_and_parts_in_parallel(object_world: Make) -> None:
    world = object_world()
    world.write(7)
    world.clock.run()
    assert world.put_ends == [(7, pytest.approx(3 * 0.25 + 100 / 50))]
    assert world.rows == [("write", 100, 0.0, 0.0, world.clock.now, 1)]


def test_an_object_of_one_part_is_one_request(object_world: Make) -> None:
    world = object_world()
    world.write(7, n_bytes=20)
    world.clock.run()
    assert world.put_ends == [(7, pytest.approx(0.25 + 20 / 10))]


def test_uploads_take_turns(object_world: Make) -> None:
    world = object_world()
    world.write(*range(5))
    assert (world.client.puts_in_flight, world.client.backlog_bytes) == (5, 500)
    world.clock.run()
    assert [key for key, _ in world.put_ends] == [0, 1, 2, 3, 4]
    assert [when_s for _, when_s in world.put_ends] == pytest.approx([2.75, 2.75, 5.5, 5.5, 8.25])
    assert [row[3] for row in world.rows] == pytest.approx([0.0, 0.0, 2.75, 2.75, 5.5])
    assert (world.client.puts_in_flight, world.client.backlog_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("n_chunks", "load_s"),
    [
        (1, 1.0 + 10.0),
        (5, 1.0 + 0.4 + 10.0),
        (10, 1.0 + 0.9 + 10.0),
        (30, 1.0 + 0.9 + 30.0),  # ten connections
    ],
)
def test_a_lone_load(object_world: Make, n_chunks: int, load_s: float) -> None:
    world = object_world()
    assert world.read_s(n_chunks) == pytest.approx(load_s)
    assert world.rows == [("read", 100 * n_chunks, 0.0, 0.0, world.clock.now, n_chunks)]


def test_an_object_of_one_range_is_one_round_trip(object_world: Make) -> None:
    world = object_world()
    world.clock.run(until=world.client.read([1], 20))
    assert world.clock.now == pytest.approx(0.5 + 2.0)


def test_the_clients_body_copy_limits_a_load(object_world: Make) -> None:
    world = object_world(client={"body_bandwidth": 20.0})
    assert world.read_s(4) == pytest.approx(1.0 + (10.0 - 5.0) + 20.0)


def test_an_empty_load_ends_at_once(object_world: Make) -> None:
    world = object_world(client={"warmup_first": 5.0})
    assert world.read_s(0) == 0
    assert world.rows == []
    assert world.read_s(1) == pytest.approx(11.0 + 5.0)


def test_a_load_bypasses_queued_puts_and_shares_the_connections(object_world: Make) -> None:
    world = object_world(write={"first_byte": 0.0}, read={"first_byte": 0.0})
    world.write(*range(4))  # 2 at a time with 5 parts each: all 10 connections
    event = world.client.read([100], 100)
    world.clock.run(until=event)
    # 11 streams on 10 connections: puts of 500 / 11 bytes/s last 2.2 s each, two rounds; the
    # read then has moved 40 bytes and gets a whole connection.
    assert [when_s for _, when_s in world.put_ends] == pytest.approx([2.2, 2.2, 4.4, 4.4])
    assert world.clock.now == pytest.approx(4.4 + 6.0)
    assert world.reads()[0][3] == 0.0


def test_existence_checks_are_serial_and_remembered(object_world: Make) -> None:
    world = object_world()
    assert world.client.remembers_checks is True
    assert world.client.lookup_s(0) == 0
    assert world.client.lookup_s(41) == pytest.approx(41 * 0.04)


def test_latency_grows_with_load_and_the_clients_own_time_does_not(object_world: Make) -> None:
    world = object_world(2, read={"bandwidth": 10.0}, latency_by_load=[(0.5, 1.0), (1.0, 2.0)])
    world.clients[1].read([1], 100)
    world.clock.run(until=2.0)
    assert world.client.lookup_s(10) == pytest.approx(10 * (0.06 + 0.01))


def test_the_first_loads_are_slow(object_world: Make) -> None:
    world = object_world(client={"warmup_first": 4.0, "warmup_loads": 2.0})
    extra_s = [world.read_s(1) - 11.0 for _ in range(4)]
    assert extra_s == pytest.approx([4.0, 4 * exp(-0.5), 4 * exp(-1.0), 4 * exp(-1.5)])


def test_no_warmup_is_the_default() -> None:
    assert warmup_extra_s(0, 0.0, 1.0) == 0
    assert warmup_extra_s(0, 2.0, 3.0) == 2


def test_each_client_warms_up_on_its_own(object_world: Make) -> None:
    world = object_world(2, client={"warmup_first": 4.0})
    assert world.read_s(1) == pytest.approx(15.0)
    assert world.read_s(1, client=1) == pytest.approx(15.0)


def test_a_stalled_client_finishes_no_put(object_world: Make) -> None:
    world = object_world()
    world.write(*range(5))
    world.clock.run(until=3.0)
    world.client.stall()
    world.clock.run()
    assert [key for key, _ in world.put_ends] == [0, 1]
    assert world.client.puts_in_flight == 3


def test_handing_puts_over_takes_longer_where_uploads_begin(object_world: Make) -> None:
    world = object_world(client={"put_handover": 0.01, "upload_start": 0.1})
    assert world.client.handover_s(5) == pytest.approx(5 * 0.01 + 2 * 0.1)
    world.write(0)
    assert world.client.handover_s(5) == pytest.approx(5 * 0.01 + 1 * 0.1)
    world.write(1, 2)
    assert world.client.handover_s(5) == pytest.approx(5 * 0.01)
