"""LMCache's fs connector: one file a chunk, over one FIFO pool of threads.

Stat, read and write share the threads. A put holds one from its turn until the file has its
final name (written as .tmp, then renamed). All files of one retrieve are asked for at once:
when its turn comes it takes the threads that are free, up to one a file, more as they come
free, and gives all back at its end (really one by one as its last files come in).
Files in the host's page cache skip the server, not the latency. Left out: the thread that an
existence check itself holds, and two instances sharing one host's page cache.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from kvsim.storage.client import Starts, latency_factor, pipeline_fill_s
from kvsim.storage.page_cache import PageCache
from kvsim.storage.puts import PutBatch, PutGroup, Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simpy.events import Event

    from kvsim.des import Clock, Flow, Link
    from kvsim.spec.storage import FileStorageSpec
    from kvsim.storage.client import Record


class _Read:
    """All files of one retrieve."""

    __slots__ = (
        "asked_s",
        "begins_s",
        "chunk_bytes",
        "done",
        "flow",
        "keys",
        "misses",
        "started_s",
        "threads",
        "wanted",
    )

    def __init__(
        self,
        keys: Sequence[int],
        chunk_bytes: int,
        wanted: int,
        done: Event,
        asked_s: float,
    ) -> None:
        self.keys = keys
        self.chunk_bytes = chunk_bytes
        self.wanted = wanted
        """Threads it could use."""
        self.done = done
        self.asked_s = asked_s
        self.started_s = asked_s
        self.begins_s = asked_s
        """When the bytes begin to move."""
        self.misses = len(keys)
        """Files that the page cache does not have."""
        self.threads = 0
        self.flow: Flow | None = None


class FileClient:
    """The fs connector of one instance."""

    remembers_checks = False

    def __init__(
        self,
        clock: Clock,
        spec: FileStorageSpec,
        server: Link,
        *,
        client: int,
        num_cpus: int,
        record: Record,
        ranks: int = 1,
    ) -> None:
        self.puts_in_flight = 0
        self.backlog_bytes = 0
        self._ranks = ranks
        self.busy_puts = 1
        self.step_delay_s = 0.0  # threads write without Python's lock
        self._put_handover_s = spec.client.put_handover
        self.threads = spec.client.threads or min(32, num_cpus + 4)
        self._clock = clock
        self._server = server
        self._client = client
        self._record = record
        self._stat_s = spec.stat
        self._read_latency_s = spec.read.latency
        self._read_bytes_per_s = spec.read.per_stream
        self._write_latency_s = spec.write.latency
        self._write_bytes_per_s = spec.write.per_stream
        self._mount_bytes_per_s = spec.client.mount_bandwidth
        self._fill_bytes_per_s = min(self._mount_bytes_per_s, server.read_bytes_per_s)
        self._latency_by_load = spec.latency_by_load
        self._page_cache = PageCache(spec.page_cache) if spec.page_cache else None
        self._page_cache_bytes_per_s = spec.page_cache_bandwidth
        self._free = self.threads
        self._queue: deque[PutBatch | _Read] = deque()
        self._queued_files = 0
        self._running: dict[PutGroup | _Read, None] = {}  # in order of their start
        self._short: deque[_Read] = deque()  # running with fewer threads than they could use
        self._starts = Starts(clock, server)
        self._turns = Turns()
        server.add_client(client, bytes_per_s=self._mount_bytes_per_s * ranks)

    def handover_s(self, n_puts: int) -> float:
        """Return how long giving so many files to the threads takes."""
        return n_puts * self._put_handover_s

    def stall(self) -> None:
        """Do nothing: each put has a thread of its own, which waits for nobody."""

    def lookup_s(self, n_checks: int) -> float:
        """Return how long so many stats take: the wait for a thread, then one after another."""
        if not n_checks:
            return 0.0
        check_s = self._stat_s * self._factor()
        return n_checks * check_s if self._free else self._wait_s() + n_checks * check_s

    def read(self, keys: Sequence[int], chunk_bytes: int) -> Event:
        """Load the files of one retrieve."""
        done = self._clock.event()
        if not keys:
            return done.succeed()
        now_s = self._clock.now
        wanted = min(len(keys), self.threads)
        self._queue.append(_Read(keys, chunk_bytes, wanted, done, now_s))
        self._queued_files += len(keys)
        self._admit()
        return done

    def write(
        self, keys: Sequence[int], chunk_bytes: int, on_done: Callable[[Sequence[int]], None]
    ) -> None:
        """Queue files; one is visible once it has its final name."""
        self.puts_in_flight += len(keys)
        self.backlog_bytes += len(keys) * chunk_bytes
        self._queue.append(PutBatch(keys, chunk_bytes, on_done, self._clock.now))
        self._queued_files += len(keys)
        if self._free:
            self._admit()

    def _admit(self) -> None:
        """Hand free threads out in the order in which the files were asked for."""
        while self._free:
            if self._short:
                read = self._short[0]
                self._grow(read)
                if read.threads == read.wanted:
                    self._short.popleft()
            elif self._queue:
                operation = self._queue[0]
                if isinstance(operation, _Read):
                    self._queue.popleft()
                    self._start_read(operation)
                else:
                    self._start_puts(operation, min(self._free, operation.left))
                    if not operation.left:
                        self._queue.popleft()
            else:
                return

    def _start_puts(self, batch: PutBatch, n: int) -> None:
        self._free -= n
        self._queued_files -= n
        now_s = self._clock.now
        begins_s = now_s + self._write_latency_s * self._factor()
        group = self._turns.take(batch, n, now_s, begins_s)
        if group is not None:
            self._running[group] = None
            self._starts.add(begins_s, partial(self._begin_puts, group))

    def _begin_puts(self, group: PutGroup) -> None:
        self._turns.close()
        group.flow = self._server.start(
            group.batch.chunk_bytes,
            client=self._client,
            kind="write",
            streams=1,
            per_stream_bytes_per_s=self._write_bytes_per_s,
            on_done=partial(self._end_puts, group),
            count=group.count * self._ranks,
        )

    def _end_puts(self, group: PutGroup) -> None:
        batch, keys = group.batch, group.keys
        group.flow = None
        del self._running[group]
        self.puts_in_flight -= len(keys)
        self.backlog_bytes -= len(keys) * batch.chunk_bytes
        for key in keys:  # a thread comes free with each
            self._free += 1
            if self._page_cache is not None:
                self._page_cache.put(key, batch.chunk_bytes)
            if self._queue or self._short:
                self._admit()
        now_s = self._clock.now
        asked_s, started_s = batch.asked_s, group.started_s
        self._record("write", batch.chunk_bytes, asked_s, started_s, now_s, 1, len(keys))
        batch.on_done(keys)

    def _start_read(self, read: _Read) -> None:
        read.started_s = self._clock.now
        self._running[read] = None
        self._queued_files -= len(read.keys)
        self._grow(read)
        if read.threads < read.wanted:
            self._short.append(read)
        cached_s = 0.0
        if self._page_cache is not None:
            hits = self._page_cache.count(read.keys)
            read.misses -= hits
            cached_s = hits * read.chunk_bytes / self._page_cache_bytes_per_s
        fill_s = 0.0
        if read.misses:
            streams = min(read.misses, self.threads)
            fill_s = pipeline_fill_s(
                read.chunk_bytes, streams, self._read_bytes_per_s, self._fill_bytes_per_s
            )
        latency_s = self._read_latency_s * self._factor()
        read.begins_s = read.started_s + (latency_s + fill_s + cached_s)
        self._turns.close()
        self._starts.add(read.begins_s, partial(self._begin_read, read))

    def _grow(self, read: _Read) -> None:
        taken = min(self._free, read.wanted - read.threads)
        self._free -= taken
        read.threads += taken
        if read.flow is not None:
            self._server.set_streams(read.flow, min(read.threads, read.misses))

    def _begin_read(self, read: _Read) -> None:
        if not read.misses:
            self._end_read(read)
            return
        read.flow = self._server.start(
            read.misses * read.chunk_bytes,
            client=self._client,
            kind="read",
            count=self._ranks,
            streams=min(read.threads, read.misses),
            per_stream_bytes_per_s=self._read_bytes_per_s,
            on_done=partial(self._end_read, read),
        )

    def _end_read(self, read: _Read) -> None:
        read.flow = None
        del self._running[read]
        if read.threads < read.wanted:
            self._short.remove(read)
        self._free += read.threads
        if self._page_cache is not None:
            for key in read.keys:
                self._page_cache.put(key, read.chunk_bytes)
        self._admit()
        n_files = len(read.keys)
        n_bytes = n_files * read.chunk_bytes
        self._record("read", n_bytes, read.asked_s, read.started_s, self._clock.now, n_files, 1)
        read.done.succeed()

    def _factor(self) -> float:
        if not self._latency_by_load:
            return 1.0
        return latency_factor(self._latency_by_load, self._server.utilisation)

    def _wait_s(self) -> float:
        """Estimate when a file asked for now gets a thread, if rates stay as they are.

        The thread that comes free first serves the first file waiting, and so on; a queued
        file holds its thread as long as a put that starts now. Exact for equal files.
        """
        now_s = self._clock.now
        bytes_per_s = self._put_bytes_per_s()
        ends: list[float] = []
        for operation in self._running:
            flow = operation.flow
            if flow is not None:
                rate = self._server.rate_bytes_per_s(flow)
                left_s = self._server.remaining_bytes(flow) / rate if rate else 0.0
            elif isinstance(operation, PutGroup):
                left_s = operation.begins_s - now_s + operation.batch.chunk_bytes / bytes_per_s
            else:
                n_bytes = operation.misses * operation.chunk_bytes
                rate = min(operation.threads * self._read_bytes_per_s, self._mount_bytes_per_s)
                left_s = operation.begins_s - now_s + n_bytes / rate
            threads = operation.threads if isinstance(operation, _Read) else operation.count
            ends += [left_s] * threads
        ends.sort()
        rounds, turn = divmod(self._queued_files, len(ends))
        wait_s = ends[turn]
        if rounds:
            file_bytes = self._queued_bytes() / self._queued_files
            wait_s += rounds * (self._write_latency_s * self._factor() + file_bytes / bytes_per_s)
        return wait_s

    def _put_bytes_per_s(self) -> float:
        for operation in self._running:
            if isinstance(operation, PutGroup) and operation.flow is not None:
                rate = self._server.rate_bytes_per_s(operation.flow)
                if rate:
                    return rate
        return min(self._write_bytes_per_s, self._mount_bytes_per_s / self.threads)

    def _queued_bytes(self) -> int:
        """Sum the bytes waiting for a thread; a read that waits counts as its files."""
        waiting = 0
        for operation in self._queue:
            if isinstance(operation, _Read):
                waiting += len(operation.keys) * operation.chunk_bytes
            else:
                waiting += operation.left * operation.chunk_bytes
        return waiting
