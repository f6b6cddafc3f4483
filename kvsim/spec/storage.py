"""Where remote KV chunks lie: a file server or an object store, and the client in LMCache."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kvsim.errors import ConfigError
from kvsim.spec.base import (
    Bytes,
    Factor,
    Number,
    PositiveBytes,
    PositiveCount,
    PositiveNumber,
    PositiveRate,
    Profile,
    Rate,
    Seconds,
    Spec,
)

LoadPoint = tuple[Annotated[float, Field(ge=0, le=1)], Factor]


class FileTransfer(Spec):
    """One direction of a file server."""

    bandwidth: PositiveRate
    """Rate of the whole server, shared by all instances (bytes/s)."""
    per_stream: PositiveRate
    """Most that one file being read or written gets (bytes/s)."""
    latency: Seconds
    """Time of one file operation besides the bytes: open, first byte, close (s)."""


class FileClient(Spec):
    """LMCache's fs connector on one instance."""

    threads: PositiveCount | None = None
    """Threads shared by stat, read and write; none: Python's min(32, cpus + 4)."""
    mount_bandwidth: PositiveRate
    """Most that one instance moves over its mount (bytes/s)."""
    put_handover: Seconds = 0.0
    """Time for which handing one put to a thread holds Python's lock, and so the engine (s)."""


class ObjectTransfer(Spec):
    """One direction of an object store."""

    bandwidth: PositiveRate
    """Rate of the whole store, shared by all instances (bytes/s)."""
    per_connection: PositiveRate
    """Most that one connection gets (bytes/s)."""
    first_byte: Seconds
    """Time from a request to its first byte (s)."""


class ObjectClient(Spec):
    """LMCache's s3 connector (AWS CRT) on one rank."""

    connections: PositiveCount = 25
    """Connections of the client, shared by reads and writes."""
    uploads: PositiveCount = 4
    """Chunks that are uploaded at a time."""
    part: PositiveBytes = 8 * 2**20
    """Size of a multipart upload's parts (bytes)."""
    first_range: PositiveBytes = 8 * 2**20
    """Size of a read's first range, which learns the object's size (bytes)."""
    body_bandwidth: PositiveRate
    """Most that the client's copy of response bodies handles (bytes/s)."""
    head_overhead: Seconds = 0.0
    """Client's own time for each existence check (s)."""
    upload_step_delay: Seconds = 0.0
    """Mean delay of an engine step while all uploads are busy, as both need Python's lock (s)."""
    put_handover: Seconds = 0.0
    """Time for which handing one put to the client holds Python's lock, and so the engine (s)."""
    upload_start: Seconds = 0.0
    """The same for beginning an upload where one of the `uploads` is free (s)."""
    warmup_first: Seconds = 0.0
    """Extra time of the client's first load (s); later loads decay to none."""
    warmup_loads: PositiveNumber = 1.0
    """Loads after which the extra time has fallen to 1/e."""


class _StorageSpec(Profile):
    latency_by_load: tuple[LoadPoint, ...] = ()
    """How latencies grow with the server's utilisation: (utilisation, factor) points, ascending,
    linear between them; none: they do not."""
    usd_per_tb_month: Number = 0.0
    """Price of keeping a TB for a month (USD)."""

    @model_validator(mode="after")
    def _ascending_load(self) -> Self:
        points = self.latency_by_load
        for (low, _), (high, _) in pairwise(points):
            if high <= low:
                raise ConfigError(
                    f"latency_by_load: utilisation {high:g} follows {low:g}; list points ascending"
                )
        return self


class FileStorageSpec(_StorageSpec):
    """A file server (or a disk) that holds one file a chunk."""

    medium: Literal["file"]
    """Kind of store."""
    transport: Literal["rdma", "tcp", "local"]
    """How bytes travel: a label; the rates say what it means."""
    read: FileTransfer
    """Reading."""
    write: FileTransfer
    """Writing."""
    stat: Seconds
    """Time of one existence check (s)."""
    client: FileClient
    """The client on each instance."""
    page_cache: Bytes = 0
    """Memory of each client's page cache that serves re-reads (bytes); 0: O_DIRECT."""
    page_cache_bandwidth: Rate = 0.0
    """Rate of re-reads from the page cache (bytes/s)."""

    @model_validator(mode="after")
    def _page_cache_has_a_rate(self) -> Self:
        if self.page_cache and not self.page_cache_bandwidth:
            raise ConfigError("page_cache needs page_cache_bandwidth, e.g. '10GB/s'")
        return self


class ObjectStorageSpec(_StorageSpec):
    """An S3 store that holds one object a chunk."""

    medium: Literal["object"]
    """Kind of store."""
    read: ObjectTransfer
    """Reading (GET)."""
    write: ObjectTransfer
    """Writing (multipart PUT)."""
    head: Seconds
    """Time of one existence check in the store (s)."""
    client: ObjectClient
    """The client on each rank."""
    usd_per_1000_get: Number = 0.0
    """Price of 1,000 reads (USD)."""
    usd_per_1000_put: Number = 0.0
    """Price of 1,000 writes (USD)."""


StorageSpec = Annotated[FileStorageSpec | ObjectStorageSpec, Field(discriminator="medium")]
