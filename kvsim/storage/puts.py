"""Puts in groups: what one store sends starts in groups of equal puts, which end together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvsim.des import Flow


class PutBatch:
    """Chunks of one size that were handed over together; `started` of them have had their turn."""

    __slots__ = ("asked_s", "chunk_bytes", "keys", "on_done", "started")

    def __init__(
        self,
        keys: Sequence[int],
        chunk_bytes: int,
        on_done: Callable[[Sequence[int]], None],
        asked_s: float,
    ) -> None:
        self.keys = keys
        self.chunk_bytes = chunk_bytes
        self.on_done = on_done
        self.asked_s = asked_s
        self.started = 0

    @property
    def left(self) -> int:
        """Count the puts that still wait."""
        return len(self.keys) - self.started


class PutGroup:
    """Puts `[lo, hi)` of a batch that got their turn at one instant."""

    __slots__ = ("batch", "begins_s", "flow", "hi", "lo", "started_s")

    def __init__(
        self, batch: PutBatch, lo: int, hi: int, started_s: float, begins_s: float
    ) -> None:
        self.batch = batch
        self.lo = lo
        self.hi = hi
        self.started_s = started_s
        self.begins_s = begins_s
        self.flow: Flow | None = None

    @property
    def count(self) -> int:
        """Count the puts."""
        return self.hi - self.lo

    @property
    def keys(self) -> Sequence[int]:
        """Name the chunks."""
        return self.batch.keys[self.lo : self.hi]


class Turns:
    """Hand out turns to the puts of batches, in groups as large as can be."""

    __slots__ = ("_latest",)

    def __init__(self) -> None:
        self._latest: PutGroup | None = None

    def take(self, batch: PutBatch, n: int, started_s: float, begins_s: float) -> PutGroup | None:
        """Start the next `n` puts of a batch; None if they join the group started last."""
        lo = batch.started
        batch.started = hi = lo + n
        latest = self._latest
        if (
            latest is not None
            and latest.batch is batch
            and latest.started_s == started_s
            and latest.begins_s == begins_s
        ):
            latest.hi = hi
            return None
        self._latest = group = PutGroup(batch, lo, hi, started_s, begins_s)
        return group

    def close(self) -> None:
        """Let nobody join any more: the group begins to move, or something else came after it."""
        self._latest = None
