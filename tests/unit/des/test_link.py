"""The shared server: known cases, worked out by hand."""

from __future__ import annotations

from math import inf

import pytest

from kvsim.des import Clock, Flow, Link


class World:
    """A link of 100 bytes/s either way, and a log of what ended when."""

    def __init__(self, read: float = 100.0, write: float = 100.0) -> None:
        self.clock = Clock()
        self.link = Link(self.clock, read_bytes_per_s=read, write_bytes_per_s=write)
        self.log: list[tuple[str, float]] = []

    def start(
        self,
        name: str,
        n_bytes: int,
        *,
        client: int = 0,
        kind: str = "read",
        streams: int = 1,
        each: float = inf,
    ) -> Flow:
        return self.link.start(
            n_bytes,
            client=client,
            kind=kind,  # type: ignore[arg-type]
            streams=streams,
            per_stream_bytes_per_s=each,
            on_done=lambda: self.log.append((name, self.clock.now)),
        )

    def run(self) -> dict[str, float]:
        self.clock.run()
        assert self.link.flows_in_flight == 0
        assert self.link.utilisation == 0
        return dict(self.log)


@pytest.fixture
def world() -> World:
    world = World()
    world.link.add_client(0)
    return world


def test_a_lone_flow_gets_the_whole_server(world: World) -> None:
    world.start("a", 250)
    assert world.link.utilisation == 1
    assert world.run() == {"a": 2.5}
    assert world.link.read_bytes_moved == 250
    assert world.link.write_bytes_moved == 0


def test_a_stream_is_held_to_its_limit(world: World) -> None:
    world.start("a", 100, each=10.0, streams=2)
    assert world.link.utilisation == pytest.approx(0.2)
    assert world.run() == {"a": 5.0}


def test_two_flows_share_by_streams_and_the_longer_one_speeds_up(world: World) -> None:
    world.start("a", 100)  # 25 bytes/s beside b
    world.start("b", 150, streams=3)  # 75 bytes/s: ends at 2 s, a has 50 left
    assert world.run() == {"b": 2.0, "a": 2.5}


def test_what_a_capped_flow_leaves_goes_to_the_others(world: World) -> None:
    world.start("a", 30, each=10.0)
    world.start("b", 270)
    assert world.run() == {"a": 3.0, "b": 3.0}


def test_reads_and_writes_share_the_servers_time() -> None:
    world = World(read=100.0, write=50.0)
    world.link.add_client(0)
    world.start("read", 100)  # half the time: 50 bytes/s
    world.start("write", 50, kind="write")  # half the time: 25 bytes/s
    assert world.run() == {"read": 2.0, "write": 2.0}
    assert (world.link.read_bytes_moved, world.link.write_bytes_moved) == (100, 50)


def test_a_clients_limit_leaves_the_rest_to_others() -> None:
    world = World()
    world.link.add_client(0, bytes_per_s=20.0)
    world.link.add_client(1)
    world.start("a", 40, streams=5)
    world.start("b", 160, client=1)
    assert world.run() == {"a": 2.0, "b": 2.0}


def test_flows_that_ask_for_more_streams_than_their_client_has_share_them() -> None:
    world = World(read=1000.0, write=1000.0)
    world.link.add_client(0, max_streams=25)
    world.start("read", 250, streams=25, each=1.0)  # half of 25 connections: 12.5 bytes/s
    world.start("write", 125, kind="write", streams=25, each=1.0)  # ends at 10 s
    assert world.run() == {"write": 10.0, "read": 15.0}


def test_a_late_start_slows_the_first(world: World) -> None:
    world.start("a", 200)
    world.clock.call_at(1.0, lambda: world.start("b", 50))
    assert world.run() == {"b": 2.0, "a": 2.5}


def test_more_streams_take_a_larger_share(world: World) -> None:
    a = world.start("a", 100, each=10.0)
    world.clock.call_at(2.0, lambda: world.link.set_streams(a, 4))
    assert world.run() == {"a": 4.0}


def test_streams_changed_back_in_one_instant_change_nothing(world: World) -> None:
    a = world.start("a", 100, each=10.0)

    def change() -> None:
        world.link.set_streams(a, 4)
        world.link.set_streams(a, 1)

    world.clock.call_at(2.0, change)
    world.clock.call_at(2.0, change)
    assert world.run() == {"a": pytest.approx(10.0)}


def test_a_flow_that_has_ended_ignores_its_streams(world: World) -> None:
    a = world.start("a", 100)
    world.clock.call_at(1.0, lambda: world.link.set_streams(a, 4))
    world.clock.call_at(5.0, lambda: world.link.set_streams(a, 2))
    assert world.run() == {"a": 1.0}
    assert a.finished
    assert world.link.rate_bytes_per_s(a) == 0
    assert world.link.remaining_bytes(a) == 0


def test_zero_bytes_end_at_once_but_not_inside_start(world: World) -> None:
    world.start("a", 100)

    def start() -> None:
        world.start("b", 0)
        world.log.append(("started", world.clock.now))

    world.clock.call_at(0.25, start)
    world.clock.run()
    assert world.log == [("started", 0.25), ("b", 0.25), ("a", 1.0)]


def test_flows_of_one_instant_end_in_the_order_of_their_start() -> None:
    world = World()
    for client in (3, 1, 2):
        world.link.add_client(client)
    world.start("c", 30, client=3)
    world.start("a", 30, client=1, kind="write")
    world.start("d", 30, client=3, each=99.0)
    world.start("b", 30, client=2)
    world.clock.run()
    assert [name for name, _ in world.log] == ["c", "a", "d", "b"]
    assert len({when_s for _, when_s in world.log}) == 1


def test_a_flow_may_start_the_next_one_at_its_end(world: World) -> None:
    ends: list[float] = []

    def again() -> None:
        ends.append(world.clock.now)
        if len(ends) < 4:
            start()

    def start() -> None:
        world.link.start(
            50, client=0, kind="read", streams=1, per_stream_bytes_per_s=inf, on_done=again
        )

    start()
    world.clock.run()
    assert ends == [0.5, 1.0, 1.5, 2.0]


def test_queries_follow_a_change_within_its_instant(world: World) -> None:
    a = world.start("a", 100, each=40.0)
    assert world.link.utilisation == pytest.approx(0.4)
    assert world.link.rate_bytes_per_s(a) == pytest.approx(40.0)
    b = world.start("b", 100, each=80.0)
    assert world.link.utilisation == 1
    assert world.link.rate_bytes_per_s(b) == pytest.approx(60.0)
    world.clock.run(until=0.5)
    assert world.link.remaining_bytes(a) == pytest.approx(80.0)
    assert world.link.remaining_bytes(b) == pytest.approx(70.0)


def test_asking_changes_nothing() -> None:
    def run(*, ask: bool) -> list[tuple[str, float]]:
        world = World(read=97.3, write=31.7)
        world.link.add_client(0, bytes_per_s=77.7)
        flows = [world.start(str(i), 1000 + 37 * i, each=11.3) for i in range(5)]
        if ask:
            for step in range(1, 300):
                world.clock.call_at(
                    step / 7, lambda: [world.link.remaining_bytes(flow) for flow in flows]
                )
        world.run()
        return world.log

    assert run(ask=True) == run(ask=False)


def test_starts_of_one_instant_cost_one_division(world: World) -> None:
    for i in range(50):
        world.start(str(i), 100)
    assert world.clock.num_events == 1
    world.run()
    assert world.clock.num_events == 2  # one timer: they all end together


def test_together_needs_no_event_of_its_own(world: World) -> None:
    world.link.together([lambda: world.start("a", 100), lambda: world.start("b", 100)])
    assert world.clock.num_events == 1
    assert world.run() == {"a": 2.0, "b": 2.0}


def test_uncongested_flows_end_exactly_when_they_would_alone() -> None:
    world = World(read=1e9)
    world.link.add_client(0)
    expected = {}
    for i in range(200):
        when_s, n_bytes = i * 0.037, 1000 + 13 * i
        expected[str(i)] = when_s + n_bytes / 7.0
        world.clock.call_at(
            when_s,
            lambda i=i, n=n_bytes: world.start(str(i), n, each=7.0),  # type: ignore[misc]
        )
    assert world.run() == pytest.approx(expected, rel=1e-14)


def test_rounding_never_leaves_a_flow_hanging() -> None:
    # Late in a long run the clock's resolution is coarse against such short transfers.
    world = World(read=3e9)
    world.link.add_client(0)
    world.link.add_client(1, bytes_per_s=1e9 / 3)
    for i in range(300):
        when_s = 1e7 + i * 1e-9
        world.clock.call_at(
            when_s,
            lambda i=i: world.start(str(i), 1 + i % 3, client=i % 2, streams=1 + i % 7),  # type: ignore[misc]
        )
    assert len(world.run()) == 300
    assert world.clock.num_events < 3000


@pytest.mark.parametrize("rate", [0.0, inf])
def test_a_server_without_a_rate_is_refused(rate: float) -> None:
    with pytest.raises(AssertionError, match="moves nothing"):
        Link(Clock(), read_bytes_per_s=rate, write_bytes_per_s=1.0)


def test_a_client_is_added_once(world: World) -> None:
    with pytest.raises(AssertionError, match="there already"):
        world.link.add_client(0)
