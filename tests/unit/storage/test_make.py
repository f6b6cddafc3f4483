"""From a profile to its server and clients; the same few events for a load of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kvsim.des import Clock
from kvsim.spec import load_profile
from kvsim.storage import FileClient, ObjectClient, make_client, make_server

Make = Callable[..., Any]


def test_the_medium_decides_the_client(file_world: Make, object_world: Make) -> None:
    assert isinstance(file_world().client, FileClient)
    assert isinstance(object_world().client, ObjectClient)


def test_the_server_has_the_profiles_rates() -> None:
    spec = load_profile("storage", "ontap-pnfs-rdma")
    server = make_server(spec, Clock())
    assert server.read_bytes_per_s == spec.read.bandwidth
    assert server.write_bytes_per_s == spec.write.bandwidth


@pytest.mark.parametrize("medium", ["file", "object"])
@pytest.mark.parametrize("n_chunks", [1, 7, 300])
def test_the_size_of_a_load_adds_no_events(
    medium: str, n_chunks: int, file_world: Make, object_world: Make
) -> None:
    world = file_world() if medium == "file" else object_world()
    world.client.read(range(n_chunks), 100)
    world.clock.run()
    assert world.clock.num_events == 3  # latency, end of the flow, the event waited for


@pytest.mark.parametrize("medium", ["file", "object"])
def test_puts_of_one_instant_share_their_events(
    medium: str, file_world: Make, object_world: Make
) -> None:
    world = file_world() if medium == "file" else object_world(client={"uploads": 4})
    world.write(*range(40))
    world.clock.run()
    assert len(world.rows) == 40
    assert world.clock.num_events == 20  # ten rounds of four: latency, end


def test_ranks_move_their_shares_together(file_world: Make) -> None:
    """Four ranks on a slow server take four times as long as one; on a fast one, no longer."""
    took: dict[tuple[int, float], float] = {}
    for ranks in (1, 4):
        for bandwidth in (100.0, 10_000.0):
            world = file_world(read={"bandwidth": bandwidth, "latency": 0.0})
            client = make_client(
                world.spec,
                world.clock,
                make_server(world.spec, world.clock),
                client=0,
                num_cpus=16,
                record=lambda *row: None,
                ranks=ranks,
            )
            world.clock.run(until=client.read([1], 100))
            took[ranks, bandwidth] = world.clock.now
    assert took[1, 100.0] == pytest.approx(1.0)
    assert took[4, 100.0] == pytest.approx(4.0)
    assert took[4, 10_000.0] == took[1, 10_000.0] == pytest.approx(1.0)
