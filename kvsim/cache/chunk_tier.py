"""LMCache's chunks in the CPU memory of one worker (`LocalCPUBackend`).

Capacity is a whole number of chunks. A chunk may leave only when it is neither pinned (a lookup
promised it to a load) nor held (a put to the remote tier still reads it). Room is made when it is
needed, never ahead. Inserting a key that is there changes nothing, but its memory was taken first,
and stays taken while a put holds it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kvsim.cache.policies import EvictionName, make_policy


class ChunkTier:
    """Hold up to `capacity_chunks` chunks under an eviction policy."""

    def __init__(self, capacity_chunks: int, eviction: EvictionName) -> None:
        self.capacity_chunks = capacity_chunks
        self.used_chunks = 0
        self.evicted_chunks = 0
        self.resident: set[int] = set()
        self._policy = make_policy(eviction)
        self._busy: dict[int, int] = {}  # pins plus holds of resident keys
        self._spare: dict[int, int] = {}  # second copies that only a put holds

    def prefix(self, keys: Sequence[int]) -> int:
        """Count the leading keys that are resident."""
        resident = self.resident
        for count, key in enumerate(keys):
            if key not in resident:
                return count
        return len(keys)

    def pin(self, keys: Sequence[int]) -> None:
        """Promise resident chunks to a load: touch them, the last first, until `unpin`."""
        self._policy.touch(reversed(keys))
        busy = self._busy
        for key in keys:
            busy[key] = busy.get(key, 0) + 1

    def unpin(self, keys: Sequence[int]) -> None:
        """Take a promise back."""
        busy = self._busy
        for key in keys:
            count = busy[key] - 1
            if count:
                busy[key] = count
            else:
                del busy[key]

    @property
    def available_chunks(self) -> int:
        """Count the chunks that could be allocated now: free ones and those that may leave."""
        return self.capacity_chunks - self.used_chunks + len(self.resident) - len(self._busy)

    def allocate(self, n: int) -> None:
        """Take memory for `n` chunks, evicting as needed; `available_chunks` allows it."""
        lacking = self.used_chunks + n - self.capacity_chunks
        if lacking > 0:
            victims = self._policy.evict(lacking, self._busy)
            assert len(victims) == lacking, "allocate without room"
            self.resident.difference_update(victims)
            self.used_chunks -= lacking
            self.evicted_chunks += lacking
        self.used_chunks += n

    def insert(self, key: int, *, held: bool) -> None:
        """Enter an allocated chunk, held until `release` if a put reads it.

        A key that is there keeps its old chunk.
        """
        if key not in self.resident:
            self.resident.add(key)
            self._policy.insert(key)
            if held:
                self._busy[key] = 1
        elif held:
            self._spare[key] = self._spare.get(key, 0) + 1
        else:
            self.used_chunks -= 1

    def release(self, key: int) -> None:
        """End one put's hold of a chunk."""
        if key in self._spare:
            self._spare[key] -= 1
            if not self._spare[key]:
                del self._spare[key]
            self.used_chunks -= 1
        else:
            self.unpin((key,))

    @property
    def busy_chunks(self) -> int:
        """Count the chunks that may not leave."""
        return len(self._busy) + sum(self._spare.values())
