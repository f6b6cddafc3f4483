"""From a storage profile to the server and the clients of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from kvsim.des import Link
from kvsim.spec.storage import FileStorageSpec, ObjectStorageSpec
from kvsim.storage.file_client import FileClient
from kvsim.storage.object_client import ObjectClient

if TYPE_CHECKING:
    from kvsim.des import Clock
    from kvsim.storage.client import Record, StorageClient


def make_server(spec: FileStorageSpec | ObjectStorageSpec, clock: Clock) -> Link:
    """Make the one server that all instances share."""
    return Link(clock, read_bytes_per_s=spec.read.bandwidth, write_bytes_per_s=spec.write.bandwidth)


def make_client(
    spec: FileStorageSpec | ObjectStorageSpec,
    clock: Clock,
    server: Link,
    *,
    client: int,
    num_cpus: int,
    record: Record,
    ranks: int = 1,
) -> StorageClient:
    """Make the connector of one instance, whose number is `client`.

    Its tensor-parallel ranks have a client each and move their shares of a chunk together: one
    stands for all, with `ranks` transfers at a time and `ranks` times the limits on the link.
    """
    match spec:
        case FileStorageSpec():
            return FileClient(
                clock, spec, server, client=client, num_cpus=num_cpus, record=record, ranks=ranks
            )
        case ObjectStorageSpec():
            return ObjectClient(
                clock, spec, server, client=client, num_cpus=num_cpus, record=record, ranks=ranks
            )
        case _:
            assert_never(spec)
