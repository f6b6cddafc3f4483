"""LMCache's chunks in the CPU memory of one worker (`LocalCPUBackend`).

Capacity is a whole number of chunks. A chunk may leave only when it is neither pinned (a lookup
promised it to a load) nor held (a put to the remote tier still reads it). Room is made when it is
needed, never ahead. Inserting a key that is there changes nothing, but its memory was taken first,
and stays taken while a put holds it.

`ChunkTier` keeps the account; which chunk goes is its order's to say: a policy that keeps single
keys (`policies`), or extents of them (`extents`), which is the same for LRU and FIFO, and faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvsim.cache.key_order import Busy, Order
from kvsim.cache.keys import Keys, cut, num_keys, split

_ALONE = -1
"""Pins the chunks of a prompt that is served at once."""


class ChunkTier:
    """Hold up to `capacity_chunks` chunks under an eviction policy."""

    def __init__(self, capacity_chunks: int, order: Order) -> None:
        self.capacity_chunks = capacity_chunks
        self.used_chunks = 0
        self.evicted_chunks = 0
        self.tenant: str | None = None
        """Whose the next allocations and entries are; counts in a `TenantTier` only."""
        self._order = order
        self._pins: dict[int, Keys] = {}  # by request
        self._held: set[int] = set()  # resident chunks that a put reads
        self._spare: dict[int, int] = {}  # second copies that only a put holds

    @property
    def num_resident(self) -> int:
        """Count the chunks that a lookup can find."""
        return len(self._order)

    def charge_to(self, tenant: str | None) -> None:
        """Say whose the next allocations and entries are."""
        self.tenant = tenant

    def residents(self) -> Iterator[int]:
        """Yield the chunks that a lookup can find, in no order."""
        return iter(self._order)

    def prefix(self, keys: Keys) -> int:
        """Count the leading keys that are resident."""
        return self._order.prefix(keys)

    def pin(self, request_id: int, keys: Keys) -> None:
        """Promise resident chunks to a load: touch them, the last first, until `unpin`."""
        self._order.touch(keys)
        self._pins[request_id] = keys

    def unpin(self, request_id: int) -> None:
        """Take a request's promise back, if there is one."""
        self._pins.pop(request_id, None)

    def can_allocate(self, n: int) -> int:
        """Say how many of `n` chunks could be allocated now: in free room or where others leave."""
        free = self.capacity_chunks - self.used_chunks
        if n <= free:
            return n
        may_leave = len(self._order) - len(self._held)
        if self._pins and n > free + may_leave - sum(map(num_keys, self._pins.values())):
            may_leave = len(self._order) - len(self._busy_keys())  # pins overlap
        return min(n, free + may_leave)

    def allocate(self, n: int) -> None:
        """Take memory for `n` chunks, evicting as needed; `can_allocate` allows it."""
        lacking = self.used_chunks + n - self.capacity_chunks
        if lacking > 0:
            self._order.evict(lacking, self._busy())
            self.used_chunks -= lacking
            self.evicted_chunks += lacking
        self.used_chunks += n

    def reserve(self, n: int) -> bool:
        """Take memory for the `n` chunks of a load; False if nothing can make room."""
        if self.can_allocate(n) < n:
            return False
        self.allocate(n)
        return True

    def serve(self, keys: Keys, asked: int) -> int:
        """Look up the first `asked` keys, use those found and keep all; count the found ones.

        For prompts that are served at once: nothing is pinned or held before or after.
        """
        hits = self._order.prefix(cut(keys, 0, asked))
        used, new = split(keys, hits)
        if hits:
            self.pin(_ALONE, used)
        room = self.can_allocate(num_keys(new))
        self.allocate(room)
        self.unpin(_ALONE)
        self.insert(split(new, room)[0], held=False)
        return hits

    def give_back(self, n: int) -> None:
        """Free allocated chunks that nothing was entered into."""
        self.used_chunks -= n

    def insert(self, keys: Keys, *, held: bool) -> None:
        """Enter allocated chunks, each held until `release` if a put reads it.

        A key that is there keeps its old chunk.
        """
        for run in keys:
            self._enter(run, self._order.insert(run), held=held)

    def _enter(self, run: range, outside: Sequence[int], *, held: bool) -> None:
        """Account for entered keys; those `outside` were there already, or were not admitted."""
        if held:
            self._held.update(run if not outside else set(run).difference(outside))
            for key in outside:
                self._spare[key] = self._spare.get(key, 0) + 1
        else:
            self.used_chunks -= len(outside)

    def release(self, keys: Sequence[int]) -> None:
        """End one put's hold of each chunk."""
        if not self._spare:
            self._held.difference_update(keys)
            return
        for key in keys:
            spares = self._spare.pop(key, 0)
            if spares:
                self.used_chunks -= 1
            else:
                self._held.discard(key)
            if spares > 1:
                self._spare[key] = spares - 1

    @property
    def busy_chunks(self) -> int:
        """Count the chunks that may not leave, second copies included."""
        return len(self._busy_keys()) + sum(self._spare.values())

    def _busy(self) -> Busy:
        """Tell of a resident chunk whether it may not leave."""
        if not self._pins:
            return self._held
        return _Busy(self._held, [run for keys in self._pins.values() for run in keys])

    def _busy_keys(self) -> set[int]:
        """Name the resident chunks that may not leave; pins overlap."""
        return self._held.union(*(run for keys in self._pins.values() for run in keys))


class LruTier(ChunkTier):
    """A tier whose order drops used chunks last: a prompt that is served at once needs no pins."""

    def serve(self, keys: Keys, asked: int) -> int:
        order = self._order
        kept = num_keys(keys)
        hits = order.prefix(keys if asked == kept else cut(keys, 0, asked))
        used, new = split(keys, hits)
        if hits:
            order.touch(used)
        room = min(kept, self.capacity_chunks) - hits
        self.allocate(room)
        for run in new if room == kept - hits else split(new, room)[0]:
            self.used_chunks -= len(order.insert(run))
        return hits


class _Busy:
    """Chunks that puts hold or loads were promised; few requests pin at a time."""

    def __init__(self, held: set[int], pinned: list[range]) -> None:
        self._held = held
        self._pinned = pinned

    def __contains__(self, key: object) -> bool:
        return key in self._held or any(key in run for run in self._pinned)

    def isdisjoint(self, keys: range) -> bool:
        start, stop = keys.start, keys.stop
        for run in self._pinned:
            if run.start < stop and start < run.stop:
                return False
        if len(self._held) < stop - start:
            return not any(start <= key < stop for key in self._held)
        return self._held.isdisjoint(keys)
