"""LMCache's chunks in the CPU memory of one worker (`LocalCPUBackend`).

Capacity is a whole number of chunks. A chunk may leave only when it is neither pinned (a lookup
promised it to a load) nor held (a put to the remote tier still reads it). Room is made when it is
needed, never ahead. Inserting a key that is there changes nothing, but its memory was taken first,
and stays taken while a put holds it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvsim.cache.keys import leading
from kvsim.cache.policies import EvictionName, make_policy


class ChunkTier:
    """Hold up to `capacity_chunks` chunks under an eviction policy."""

    def __init__(self, capacity_chunks: int, eviction: EvictionName) -> None:
        self.capacity_chunks = capacity_chunks
        self.used_chunks = 0
        self.evicted_chunks = 0
        self.resident: set[int] = set()
        self._policy = make_policy(eviction)
        self._pins: dict[int, Sequence[int]] = {}  # by request
        self._held: dict[int, int] = {}  # puts that read a resident chunk
        self._spare: dict[int, int] = {}  # second copies that only a put holds

    def prefix(self, keys: Sequence[int]) -> int:
        """Count the leading keys that are resident."""
        return leading(keys, self.resident)

    def pin(self, request_id: int, keys: Sequence[int]) -> None:
        """Promise resident chunks to a load: touch them, the last first, until `unpin`."""
        self._policy.touch(reversed(keys))
        self._pins[request_id] = keys

    def unpin(self, request_id: int) -> None:
        """Take a request's promise back, if there is one."""
        self._pins.pop(request_id, None)

    def can_allocate(self, n: int) -> int:
        """Say how many of `n` chunks could be allocated now: in free room or where others leave."""
        free = self.capacity_chunks - self.used_chunks
        if n <= free:
            return n
        return min(n, free + len(self.resident) - len(self._busy()))

    def allocate(self, n: int) -> None:
        """Take memory for `n` chunks, evicting as needed; `can_allocate` allows it."""
        lacking = self.used_chunks + n - self.capacity_chunks
        if lacking > 0:
            victims = self._policy.evict(lacking, self._busy())
            assert len(victims) == lacking, "allocate without room"
            self.resident.difference_update(victims)
            self.used_chunks -= lacking
            self.evicted_chunks += lacking
        self.used_chunks += n

    def give_back(self, n: int) -> None:
        """Free allocated chunks that nothing was entered into."""
        self.used_chunks -= n

    def insert(self, key: int, *, held: bool) -> None:
        """Enter an allocated chunk, held until `release` if a put reads it.

        A key that is there keeps its old chunk.
        """
        if key not in self.resident:
            self.resident.add(key)
            self._policy.insert(key)
            if held:
                self._held[key] = 1
        elif held:
            self._spare[key] = self._spare.get(key, 0) + 1
        else:
            self.used_chunks -= 1

    def release(self, key: int) -> None:
        """End one put's hold of a chunk."""
        holder = self._spare if key in self._spare else self._held
        holder[key] -= 1
        if not holder[key]:
            del holder[key]
        if holder is self._spare:
            self.used_chunks -= 1

    @property
    def busy_chunks(self) -> int:
        """Count the chunks that may not leave, second copies included."""
        return len(self._busy()) + sum(self._spare.values())

    def _busy(self) -> set[int]:
        """Name the resident chunks that may not leave; few requests pin at a time."""
        return set(self._held).union(*self._pins.values())
