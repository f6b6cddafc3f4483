"""What holds for every link and storage client, on transfers that Hypothesis draws."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvsim.des import Clock, Flow, Link
from kvsim.spec.storage import FileStorageSpec, ObjectStorageSpec
from kvsim.storage import make_client, make_server

CLOSE = 1e-9
NUM_CLIENTS = 3

rates = st.sampled_from([0.3, 1.0, 7.0, 10.0, 33.3, 250.0])
limits = st.sampled_from([0.1, 1.0, 2.5, 10.0, 77.7, inf])
# A coarse grid makes ties of instants likely, the fine one makes rounding visible.
instants = st.one_of(st.integers(0, 8).map(float), st.floats(0, 8), st.floats(1e6, 1e6 + 1))


@dataclass(frozen=True)
class Transfer:
    """A flow to be started, and perhaps given another number of streams later."""

    start_s: float
    n_bytes: int
    client: int
    kind: str
    streams: int
    each: float
    change_after_s: float
    streams_then: int


transfers = st.builds(
    Transfer,
    start_s=instants,
    n_bytes=st.one_of(st.integers(0, 5), st.integers(0, 1000)),
    client=st.integers(0, NUM_CLIENTS - 1),
    kind=st.sampled_from(["read", "write"]),
    streams=st.integers(1, 9),
    each=limits,
    change_after_s=st.sampled_from([0.0, 0.5, 1.0, 3.3]),
    streams_then=st.integers(1, 9),
)


@dataclass
class Probe:
    """A link whose rates are checked and summed up between all its events."""

    read: float
    write: float
    client_limits: list[float]
    stream_limits: list[float]
    clock: Clock = field(default_factory=Clock)
    flows: dict[Flow, Transfer] = field(default_factory=dict)
    moved: dict[Flow, float] = field(default_factory=dict)
    ends: list[tuple[float, int]] = field(default_factory=list)

    def run(self, wanted: list[Transfer]) -> None:
        self.link = Link(self.clock, read_bytes_per_s=self.read, write_bytes_per_s=self.write)
        for client in range(NUM_CLIENTS):
            self.link.add_client(
                client,
                bytes_per_s=self.client_limits[client],
                max_streams=self.stream_limits[client],
            )
        for transfer in wanted:
            self.clock.call_at(transfer.start_s, lambda transfer=transfer: self._start(transfer))  # type: ignore[misc]
        while self.clock.peek() < inf:
            next_s = self.clock.peek()
            if next_s > self.clock.now:
                self._check(next_s - self.clock.now)
            self.clock.step()

    def _start(self, transfer: Transfer) -> None:
        def done() -> None:
            self.ends.append((self.clock.now, flow.number))

        flow = self.link.start(
            transfer.n_bytes,
            client=transfer.client,
            kind=transfer.kind,  # type: ignore[arg-type]
            streams=transfer.streams,
            per_stream_bytes_per_s=transfer.each,
            on_done=done,
        )
        self.flows[flow] = transfer
        self.moved[flow] = 0.0
        self.clock.call_at(
            self.clock.now + transfer.change_after_s,
            lambda: self.link.set_streams(flow, transfer.streams_then),
        )

    def _check(self, passed_s: float) -> None:
        live = [flow for flow in self.flows if not flow.finished]
        rate = {flow: self.link.rate_bytes_per_s(flow) for flow in live}
        server = [self.read if self.flows[flow].kind == "read" else self.write for flow in live]
        used = sum(rate[flow] / most for flow, most in zip(live, server, strict=True))
        assert used <= 1 + CLOSE
        assert self.link.utilisation == pytest.approx(used, abs=1e-6)
        for client in range(NUM_CLIENTS):
            own = [flow for flow in live if self.flows[flow].client == client]
            streams = sum(flow.streams for flow in own)
            scale = min(1.0, self.stream_limits[client] / streams) if own else 1.0
            total = sum(rate[flow] for flow in own)
            assert total <= self.client_limits[client] * (1 + CLOSE)
            at_limit = total >= self.client_limits[client] * (1 - CLOSE)
            for flow in own:
                most = self.flows[flow].each * flow.streams * scale
                assert 0 < rate[flow] <= most * (1 + CLOSE)
                # Nothing is held back: the server, the client or the stream is at its limit.
                assert used >= 1 - CLOSE or at_limit or rate[flow] >= most * (1 - CLOSE)
        for flow in live:
            self.moved[flow] += rate[flow] * passed_s


links = st.builds(
    Probe,
    read=rates,
    write=rates,
    client_limits=st.lists(limits, min_size=NUM_CLIENTS, max_size=NUM_CLIENTS),
    stream_limits=st.lists(
        st.sampled_from([1, 4, 25, inf]), min_size=NUM_CLIENTS, max_size=NUM_CLIENTS
    ),
)


@settings(max_examples=300, deadline=None)
@given(links, st.lists(transfers, min_size=1, max_size=12))
def test_limits_hold_nothing_idles_and_no_byte_is_lost(
    probe: Probe, wanted: list[Transfer]
) -> None:
    probe.run(wanted)
    assert all(flow.finished for flow in probe.flows)
    assert len(probe.ends) == len(wanted)
    assert probe.ends == sorted(probe.ends), "ends of one instant are in order of the starts"
    for flow, transfer in probe.flows.items():
        # A late instant has a resolution of 1e-10 s, at up to 250 bytes/s.
        assert probe.moved[flow] == pytest.approx(transfer.n_bytes, rel=1e-8, abs=1e-6)
    for kind, moved in (
        ("read", probe.link.read_bytes_moved),
        ("write", probe.link.write_bytes_moved),
    ):
        assert moved == sum(wish.n_bytes for wish in wanted if wish.kind == kind)


@settings(max_examples=100, deadline=None)
@given(links, st.lists(transfers, min_size=1, max_size=10))
def test_a_run_repeats_exactly(probe: Probe, wanted: list[Transfer]) -> None:
    again = Probe(probe.read, probe.write, probe.client_limits, probe.stream_limits)
    probe.run(wanted)
    again.run(wanted)
    assert probe.ends == again.ends


@settings(max_examples=100, deadline=None)
@given(rates, limits, st.lists(st.tuples(instants, st.integers(1, 1000)), min_size=1, max_size=8))
def test_the_numbers_of_clients_do_not_matter(
    rate: float, each: float, wanted: list[tuple[float, int]]
) -> None:
    def ends(numbers: list[int]) -> dict[int, float]:
        clock = Clock()
        link = Link(clock, read_bytes_per_s=rate, write_bytes_per_s=rate)
        seen: dict[int, float] = {}
        for number in numbers:
            link.add_client(number)
        for index, (start_s, n_bytes) in enumerate(wanted):

            def start(index: int = index, n_bytes: int = n_bytes) -> None:
                link.start(
                    n_bytes,
                    client=numbers[index],
                    kind="read",
                    streams=1,
                    per_stream_bytes_per_s=each,
                    on_done=lambda: seen.update({index: clock.now}),
                )

            clock.call_at(start_s, start)
        clock.run()
        return seen

    forward = ends(list(range(len(wanted))))
    backward = ends(list(range(len(wanted)))[::-1])
    assert forward == pytest.approx(backward, rel=1e-9)


ASSUMED = {"*": {"kind": "assumed", "how": "test"}}
FASTER = {
    "file": ["read.bandwidth", "read.per_stream", "client.mount_bandwidth"],
    "object": ["read.bandwidth", "read.per_connection", "client.body_bandwidth"],
}


def load_s(medium: str, bandwidths: list[float], n_chunks: int, width: int) -> float:
    """Return how long a lone load takes from a store with these bandwidths."""
    server, each, own = bandwidths
    content: dict[str, Any] = {"name": "drawn", "medium": medium, "sources": ASSUMED}
    if medium == "file":
        transfer = {"bandwidth": server, "per_stream": each, "latency": 0.1}
        client = {"threads": width, "mount_bandwidth": own}
        content |= {"transport": "tcp", "read": transfer, "write": transfer, "stat": 0.0}
        spec: FileStorageSpec | ObjectStorageSpec = FileStorageSpec.model_validate(
            content | {"client": client}
        )
    else:
        transfer = {"bandwidth": server, "per_connection": each, "first_byte": 0.1}
        client = {"connections": width, "body_bandwidth": own}
        content |= {"read": transfer, "write": transfer, "head": 0.0, "client": client}
        spec = ObjectStorageSpec.model_validate(content)
    clock = Clock()
    one = make_client(
        spec, clock, make_server(spec, clock), client=0, num_cpus=4, record=lambda *row: None
    )
    one.read(range(n_chunks), 1000)
    clock.run()
    return clock.now


bandwidths = st.lists(st.sampled_from([1.0, 3.0, 10.0, 50.0, 1e3, 1e6]), min_size=3, max_size=3)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["file", "object"]),
    bandwidths,
    st.integers(0, 2),
    st.sampled_from([1.1, 3.0, 100.0]),
    st.integers(1, 50),
    st.integers(1, 25),
)
def test_more_bandwidth_never_lengthens_a_lone_load(
    medium: str, slow: list[float], which: int, factor: float, n_chunks: int, width: int
) -> None:
    fast = slow.copy()
    fast[which] *= factor
    slow_s = load_s(medium, slow, n_chunks, width)
    assert load_s(medium, fast, n_chunks, width) <= slow_s * (1 + CLOSE)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(instants, st.sampled_from(["read", "write"]), st.integers(1, 30)), max_size=20
    ),
    st.sampled_from(["file", "object"]),
    st.integers(1, 8),
)
def test_every_transfer_of_a_client_ends_and_is_recorded_once(
    asked: list[tuple[float, str, int]], medium: str, width: int
) -> None:
    clock = Clock()
    transfer = {"bandwidth": 90.0, "latency": 0.1, "per_stream": 20.0}
    if medium == "file":
        spec: FileStorageSpec | ObjectStorageSpec = FileStorageSpec.model_validate(
            {
                "name": "drawn",
                "medium": "file",
                "transport": "rdma",
                "read": transfer,
                "write": transfer,
                "stat": 0.1,
                "client": {"threads": width, "mount_bandwidth": 70.0},
                "page_cache": 100,
                "page_cache_bandwidth": 500.0,
                "sources": ASSUMED,
            }
        )
    else:
        requests = {"bandwidth": 90.0, "first_byte": 0.1, "per_connection": 20.0}
        spec = ObjectStorageSpec.model_validate(
            {
                "name": "drawn",
                "medium": "object",
                "read": requests,
                "write": requests,
                "head": 0.1,
                "client": {
                    "connections": width,
                    "uploads": 2,
                    "part": 3,
                    "first_range": 3,
                    "body_bandwidth": 70.0,
                },
                "sources": ASSUMED,
            }
        )
    rows: list[tuple[str, int, float, float, float, int]] = []
    client = make_client(
        spec,
        clock,
        make_server(spec, clock),
        client=0,
        num_cpus=4,
        record=lambda *row: rows.append(row[:-1]),
    )
    written: list[int] = []

    def ask(key: int, direction: str, size: int) -> None:
        if direction == "write":
            client.write([key], size, written.extend)
        else:
            client.read(range(size), 5)
        assert client.lookup_s(3) >= 0.3

    for key, (when_s, direction, size) in enumerate(asked):
        clock.call_at(when_s, lambda key=key, d=direction, s=size: ask(key, d, s))  # type: ignore[misc]
    clock.run()
    puts = [key for key, (_, direction, _) in enumerate(asked) if direction == "write"]
    assert sorted(written) == puts
    assert (client.puts_in_flight, client.backlog_bytes) == (0, 0)
    assert sorted(row[:3] for row in rows) == sorted(
        (direction, size * (1 if direction == "write" else 5), when_s)
        for when_s, direction, size in asked
    )
    for _, _, asked_s, started_s, finished_s, _ in rows:
        assert asked_s <= started_s < finished_s
    # A first-in-first-out pool: puts get their turn in the order in which they were asked for.
    turns = sorted(
        (asked_s, started_s) for kind, _, asked_s, started_s, *_ in rows if kind == "write"
    )
    assert [started_s for _, started_s in turns] == sorted(started_s for _, started_s in turns)
