"""Round numbers for storage: chunks of 100 bytes, servers of some hundred bytes per second."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from kvsim.des import Clock
from kvsim.spec.storage import FileStorageSpec, ObjectStorageSpec
from kvsim.storage import FileClient, ObjectClient, make_client, make_server

CHUNK = 100
SOURCES = {"*": {"kind": "assumed", "how": "test"}}
FILE: dict[str, Any] = {
    "name": "file",
    "medium": "file",
    "transport": "tcp",
    "read": {"bandwidth": 1000.0, "per_stream": 100.0, "latency": 0.5},
    "write": {"bandwidth": 1000.0, "per_stream": 50.0, "latency": 0.25},
    "stat": 0.01,
    "client": {"threads": 4, "mount_bandwidth": 10_000.0},
    "sources": SOURCES,
}
OBJECT: dict[str, Any] = {
    "name": "object",
    "medium": "object",
    "read": {"bandwidth": 1000.0, "per_connection": 10.0, "first_byte": 0.5},
    "write": {"bandwidth": 1000.0, "per_connection": 10.0, "first_byte": 0.25},
    "head": 0.03,
    "client": {
        "connections": 10,
        "uploads": 2,
        "part": 20,
        "first_range": 20,
        "body_bandwidth": 10_000.0,
        "head_overhead": 0.01,
    },
    "sources": SOURCES,
}


class World:
    """Clients of one server, and what they recorded and finished."""

    def __init__(self, content: dict[str, Any], num_clients: int = 1) -> None:
        kind = FileStorageSpec if content["medium"] == "file" else ObjectStorageSpec
        self.spec = kind.model_validate(content)
        self.clock = Clock()
        self.server = make_server(self.spec, self.clock)
        self.rows: list[tuple[str, int, float, float, float, int]] = []
        self.put_ends: list[tuple[int, float]] = []
        self.clients = [
            make_client(
                self.spec,
                self.clock,
                self.server,
                client=i,
                num_cpus=16,
                record=lambda *row: self.rows.extend([row[:-1]] * row[-1]),
            )
            for i in range(num_clients)
        ]
        self.client = self.clients[0]
        assert isinstance(self.client, FileClient | ObjectClient)

    def write(self, *keys: int, client: int = 0, n_bytes: int = CHUNK) -> None:
        self.clients[client].write(
            keys,
            n_bytes,
            lambda done: self.put_ends.extend((key, self.clock.now) for key in done),
        )

    def read_s(self, n_chunks: int, *, client: int = 0, first: int = 0) -> float:
        """Load chunks now, let time pass until they are here, and return how long it took."""
        asked_s = self.clock.now
        keys = range(first, first + n_chunks)
        self.clock.run(until=self.clients[client].read(keys, CHUNK))
        return self.clock.now - asked_s

    def reads(self) -> list[tuple[str, int, float, float, float, int]]:
        return [row for row in self.rows if row[0] == "read"]


def changed(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a copy with some entries replaced, merging one level deep."""
    content = deepcopy(base)
    for key, value in changes.items():
        if isinstance(value, dict):
            content[key].update(value)
        else:
            content[key] = value
    return content


@pytest.fixture
def file_world() -> Callable[..., World]:
    return lambda num_clients=1, **changes: World(changed(FILE, **changes), num_clients)


@pytest.fixture
def object_world() -> Callable[..., World]:
    return lambda num_clients=1, **changes: World(changed(OBJECT, **changes), num_clients)
