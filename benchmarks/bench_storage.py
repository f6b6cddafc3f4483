"""Print what puts and reads cost: python benchmarks/bench_storage.py."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from kvsim.des import Clock
from kvsim.spec.storage import FileStorageSpec, ObjectStorageSpec
from kvsim.storage import StorageClient, make_client, make_server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHUNK_BYTES = 36 * 2**20
ASSUMED = {"*": {"kind": "assumed", "how": "benchmark"}}

FILE = FileStorageSpec.model_validate(
    {
        "name": "file",
        "medium": "file",
        "transport": "rdma",
        "read": {"bandwidth": "40GB/s", "per_stream": "5GB/s", "latency": "1ms"},
        "write": {"bandwidth": "20GB/s", "per_stream": "2GB/s", "latency": "2ms"},
        "stat": "300us",
        "client": {"mount_bandwidth": "20GB/s"},
        "sources": ASSUMED,
    }
)
OBJECT = ObjectStorageSpec.model_validate(
    {
        "name": "object",
        "medium": "object",
        "read": {"bandwidth": "5GB/s", "per_connection": "200MB/s", "first_byte": "30ms"},
        "write": {"bandwidth": "3GB/s", "per_connection": "200MB/s", "first_byte": "30ms"},
        "head": "4ms",
        "client": {"body_bandwidth": "3GB/s"},
        "sources": ASSUMED,
    }
)


def run(
    spec: FileStorageSpec | ObjectStorageSpec,
    start: Callable[[Clock, list[StorageClient]], int],
    instances: int,
) -> tuple[float, int, Clock]:
    """Return wall seconds, operations and the clock of a run."""
    clock = Clock()
    server = make_server(spec, clock)
    rows: list[tuple[object, ...]] = []
    clients = [
        make_client(
            spec,
            clock,
            server,
            client=i,
            num_cpus=16,
            record=lambda *row: rows.extend([row] * row[-1]),
        )
        for i in range(instances)
    ]
    began_s = time.perf_counter()
    start(clock, clients)
    clock.run()
    return time.perf_counter() - began_s, len(rows), clock


def bursts(per_burst: int, gap_s: float, count: int) -> Callable[[Clock, list[StorageClient]], int]:
    """Store bursts of chunks, as prefill steps do."""

    def start(clock: Clock, clients: list[StorageClient]) -> int:
        def store(index: int) -> None:
            client = clients[index % len(clients)]
            first = index * per_burst
            client.write(range(first, first + per_burst), CHUNK_BYTES, _ignore)
            if index + 1 < count:
                clock.call_at((index + 1) * gap_s, lambda: store(index + 1))

        store(0)
        return count * per_burst

    return start


def loads(n_chunks: int, count: int) -> Callable[[Clock, list[StorageClient]], int]:
    """Load one batch after another on each instance."""

    def start(clock: Clock, clients: list[StorageClient]) -> int:
        def load(client: StorageClient):  # type: ignore[no-untyped-def]
            for _ in range(count // len(clients)):
                yield client.read(range(n_chunks), CHUNK_BYTES)

        for client in clients:
            clock.process(load(client))
        return count

    return start


def _ignore(keys: Sequence[int]) -> None:
    pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--puts", type=int, default=30_000)
    parser.add_argument("--reads", type=int, default=2_500)
    wanted = parser.parse_args()
    print(f"{'what':<44}{'per s':>10}{'us each':>10}{'events each':>13}")  # noqa: T201
    cases: list[
        tuple[
            str,
            FileStorageSpec | ObjectStorageSpec,
            Callable[[Clock, list[StorageClient]], int],
            int,
        ]
    ] = []
    for spec in (FILE, OBJECT):
        for instances in (1, 4):
            for size, gap_s in ((1, 0.04), (8, 0.3), (32, 1.3), (32, 0.4)):
                label = f"{spec.name} put, {instances} inst., {size} each {gap_s} s"
                cases.append((label, spec, bursts(size, gap_s, wanted.puts // size), instances))
            for size in (1, 40):
                label = f"{spec.name} read of {size} chunks, {instances} inst."
                cases.append((label, spec, loads(size, wanted.reads), instances))
    for label, spec, start, instances in cases:
        wall_s, done, clock = min(
            (run(spec, start, instances) for _ in range(3)), key=lambda result: result[0]
        )
        print(  # noqa: T201
            f"{label:<44}{done / wall_s:>10,.0f}{wall_s / done * 1e6:>10.2f}"
            f"{clock.num_events / done:>13.2f}"
        )


if __name__ == "__main__":
    main()
