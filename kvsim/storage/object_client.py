"""LMCache's s3 connector: one object a chunk, over the connections of one AWS CRT client.

A put is create, all parts at once, complete: three round trips in a row (one for an object
no larger than a part), counted before its bytes; `uploads` puts move at a time, the rest
waits its turn. Reads do not queue behind puts: all chunks of a retrieve start at once, each
with its first range, which learns the size, then the rest, so one connection a chunk and two
first bytes in a row. If reads and uploads together ask for more connections than there are,
all get their share of them (fluid: a connection is not held by one of them till its end).
Left out: retries, and HEADs or reads that wait for the connector's event loop.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from math import exp
from typing import TYPE_CHECKING

from kvsim.storage.client import Starts, latency_factor, pipeline_fill_s
from kvsim.storage.puts import PutBatch, PutGroup, Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simpy.events import Event

    from kvsim.des import Clock, Link
    from kvsim.spec.storage import ObjectStorageSpec
    from kvsim.storage.client import Record


class _Read:
    """All objects of one retrieve."""

    __slots__ = ("asked_s", "done", "n_bytes", "n_objects")

    def __init__(self, n_objects: int, n_bytes: int, done: Event, asked_s: float) -> None:
        self.n_objects = n_objects
        self.n_bytes = n_bytes
        self.done = done
        self.asked_s = asked_s


class ObjectClient:
    """The s3 connector of one instance."""

    remembers_checks = True

    def __init__(
        self,
        clock: Clock,
        spec: ObjectStorageSpec,
        server: Link,
        *,
        client: int,
        num_cpus: int,
        record: Record,
        ranks: int = 1,
    ) -> None:
        del num_cpus  # its threads are event loops, not a limit of what is in flight
        self.puts_in_flight = 0
        self.backlog_bytes = 0
        self._ranks = ranks
        self.busy_puts = spec.client.uploads
        self.step_delay_s = spec.client.upload_step_delay
        self._put_handover_s = spec.client.put_handover
        self._upload_start_s = spec.client.upload_start
        self.connections = spec.client.connections
        self.uploads = spec.client.uploads
        self._clock = clock
        self._server = server
        self._client = client
        self._record = record
        self._part_bytes = spec.client.part
        self._first_range_bytes = spec.client.first_range
        self._body_bytes_per_s = spec.client.body_bandwidth
        self._head_s = spec.head
        self._head_overhead_s = spec.client.head_overhead
        self._warmup_first_s = spec.client.warmup_first
        self._warmup_loads = spec.client.warmup_loads
        self._read_first_byte_s = spec.read.first_byte
        self._read_bytes_per_s = spec.read.per_connection
        self._write_first_byte_s = spec.write.first_byte
        self._write_bytes_per_s = spec.write.per_connection
        self._fill_bytes_per_s = min(self._body_bytes_per_s, server.read_bytes_per_s)
        self._latency_by_load = spec.latency_by_load
        self._is_stalled = False
        self._loads = 0
        self._moving = 0
        self._queue: deque[PutBatch] = deque()
        self._turns = Turns()
        self._starts = Starts(clock, server)
        server.add_client(
            client,
            bytes_per_s=self._body_bytes_per_s * ranks,
            max_streams=self.connections * ranks,
        )

    def handover_s(self, n_puts: int) -> float:
        """Return how long giving so many puts to the client takes, and beginning those it can."""
        begun = min(n_puts, self.uploads - self._moving)
        return n_puts * self._put_handover_s + begun * self._upload_start_s

    def lookup_s(self, n_checks: int) -> float:
        """Return how long so many HEADs take, one after another."""
        return n_checks * (self._head_s * self._factor() + self._head_overhead_s)

    def read(self, keys: Sequence[int], chunk_bytes: int) -> Event:
        """Load the objects of one retrieve."""
        done = self._clock.event()
        n_objects = len(keys)
        if not n_objects:
            return done.succeed()
        now_s = self._clock.now
        round_trips = 2 if chunk_bytes > self._first_range_bytes else 1
        latency_s = round_trips * self._read_first_byte_s * self._factor()
        streams = min(n_objects, self.connections)
        fill_s = pipeline_fill_s(
            chunk_bytes, streams, self._read_bytes_per_s, self._fill_bytes_per_s
        )
        warmup_s = warmup_extra_s(self._loads, self._warmup_first_s, self._warmup_loads)
        self._loads += 1
        read = _Read(n_objects, n_objects * chunk_bytes, done, now_s)
        self._turns.close()
        self._starts.add(now_s + (latency_s + fill_s + warmup_s), partial(self._begin_read, read))
        return done

    def write(
        self, keys: Sequence[int], chunk_bytes: int, on_done: Callable[[Sequence[int]], None]
    ) -> None:
        """Queue uploads; an object is visible once it is complete."""
        self.puts_in_flight += len(keys)
        self.backlog_bytes += len(keys) * chunk_bytes
        self._queue.append(PutBatch(keys, chunk_bytes, on_done, self._clock.now))
        self._start_puts()

    def stall(self) -> None:
        """Never finish a put again: its thread waits for memory that only puts would free."""
        self._is_stalled = True

    def _start_puts(self) -> None:
        now_s = self._clock.now
        while self._queue and self._moving < self.uploads:
            batch = self._queue[0]
            n = min(self.uploads - self._moving, batch.left)
            self._moving += n
            round_trips = 3 if batch.chunk_bytes > self._part_bytes else 1
            begins_s = now_s + round_trips * self._write_first_byte_s * self._factor()
            group = self._turns.take(batch, n, now_s, begins_s)
            if group is not None:
                self._starts.add(begins_s, partial(self._begin_puts, group))
            if not batch.left:
                self._queue.popleft()

    def _begin_puts(self, group: PutGroup) -> None:
        self._turns.close()
        n_bytes = group.batch.chunk_bytes
        self._server.start(
            n_bytes,
            client=self._client,
            kind="write",
            streams=max(-(-n_bytes // self._part_bytes), 1),
            per_stream_bytes_per_s=self._write_bytes_per_s,
            on_done=partial(self._end_puts, group),
            count=group.count * self._ranks,
        )

    def _end_puts(self, group: PutGroup) -> None:
        if self._is_stalled:
            return
        batch, count = group.batch, group.count
        self._moving -= count
        self.puts_in_flight -= count
        self.backlog_bytes -= count * batch.chunk_bytes
        if self._queue:
            self._start_puts()
        now_s = self._clock.now
        self._record("write", batch.chunk_bytes, batch.asked_s, group.started_s, now_s, 1, count)
        batch.on_done(group.keys)

    def _begin_read(self, read: _Read) -> None:
        self._server.start(
            read.n_bytes,
            client=self._client,
            kind="read",
            count=self._ranks,
            streams=min(read.n_objects, self.connections),
            per_stream_bytes_per_s=self._read_bytes_per_s,
            on_done=partial(self._end_read, read),
        )

    def _end_read(self, read: _Read) -> None:
        now_s = self._clock.now
        self._record("read", read.n_bytes, read.asked_s, read.asked_s, now_s, read.n_objects, 1)
        read.done.succeed()

    def _factor(self) -> float:
        if not self._latency_by_load:
            return 1.0
        return latency_factor(self._latency_by_load, self._server.utilisation)


def warmup_extra_s(load: int, first_s: float, e_folding_loads: float) -> float:
    """Return the extra time of a client's load number `load` (from 0): its connections are cold."""
    return first_s * exp(-load / e_folding_loads) if first_s else 0.0
