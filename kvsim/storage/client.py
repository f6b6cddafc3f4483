"""What every storage client can do, and the pieces of time that file and object clients share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from simpy.events import Event

    from kvsim.des import Clock, Link

Record = Callable[[str, int, float, float, float, int, int], None]
"""Takes direction, bytes, asked_s, started_s, finished_s and objects of a finished transfer, and
how many equal ones there were."""


class StorageClient(Protocol):
    """The remote connector of one instance."""

    remembers_checks: bool
    """Whether a chunk once found is never checked again."""
    puts_in_flight: int
    """Puts that wait or move."""
    backlog_bytes: int
    """Bytes of these puts."""
    busy_puts: int
    """Puts in flight from which on the host feels them."""
    step_delay_s: float
    """How much later an engine step ends then, on average."""

    def handover_s(self, n_puts: int) -> float:
        """Return how long handing over the puts of a store holds up the engine, as things are."""

    def stall(self) -> None:
        """Finish no put from now on."""

    def lookup_s(self, n_checks: int) -> float:
        """Return how long so many existence checks, one after another, take as things stand."""

    def read(self, keys: Sequence[int], chunk_bytes: int) -> Event:
        """Load all chunks of one retrieve; the event happens when the last one is here."""

    def write(
        self, keys: Sequence[int], chunk_bytes: int, on_done: Callable[[Sequence[int]], None]
    ) -> None:
        """Queue a put for each key; `on_done` is called with those that others can now see."""


class Starts:
    """Begin transfers once their latency has passed, all of one instant with one event."""

    __slots__ = ("_clock", "_server", "_together", "_when_s")

    def __init__(self, clock: Clock, server: Link) -> None:
        self._clock = clock
        self._server = server
        self._when_s = -1.0
        self._together: list[Callable[[], None]] = []

    def add(self, when_s: float, begin: Callable[[], None]) -> None:
        if when_s == self._when_s:
            self._together.append(begin)
            return
        self._when_s = when_s
        self._together = [begin]
        self._clock.call_at(when_s, partial(self._begin, self._together))

    def _begin(self, together: list[Callable[[], None]]) -> None:
        if together is self._together:
            self._when_s = -1.0  # what is added to this instant from now on needs its own event
        self._server.together(together)


def latency_factor(points: Sequence[tuple[float, float]], utilisation: float) -> float:
    """Return how much longer latencies are at a load of the server.

    Linear between the (utilisation, factor) points, the nearest point's factor outside them.
    """
    if not points:
        return 1.0
    if utilisation <= points[0][0]:
        return points[0][1]
    for (low, low_factor), (high, high_factor) in pairwise(points):
        if utilisation <= high:
            return low_factor + (high_factor - low_factor) * (utilisation - low) / (high - low)
    return points[-1][1]


def pipeline_fill_s(
    chunk_bytes: int, streams: int, per_stream_bytes_per_s: float, shared_bytes_per_s: float
) -> float:
    """Return what a batch takes beyond its bytes at full rate, because its streams end together.

    The last chunk still moves at the rate of one stream when the shared limit has carried all the
    others: chunk / per_stream + (n - 1) * chunk / shared in all. Streams that do not reach the
    shared limit do not wait for each other: no more than (n - 1) * chunk / shared is lost, and
    nothing by a single stream. `shared_bytes_per_s` is the client's limit, or the server's where
    that is lower.
    """
    behind_s = (streams - 1) * chunk_bytes / shared_bytes_per_s
    slower_s = chunk_bytes / per_stream_bytes_per_s - chunk_bytes / shared_bytes_per_s
    return min(behind_s, max(slower_s, 0.0))
