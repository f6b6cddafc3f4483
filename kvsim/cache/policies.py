"""Which chunk goes when room is needed.

LRU, FIFO, LFU (ties: oldest first) and MRU have names and meaning as LMCache's `cache_policy`;
`adaptive` has what LMCache lacks. A policy knows keys and their order, nothing of sizes or time.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterable, Iterator
from itertools import islice
from typing import Protocol, assert_never

from kvsim.cache.adaptive import Arc, CostAware, S3Fifo
from kvsim.spec.offload import EvictionName


class EvictionPolicy(Protocol):
    """Order the keys of one tier by who goes first."""

    def expect(self, key: int) -> None:
        """Note which absent key comes next, before room is made for it; `insert` does it else."""

    def insert(self, key: int) -> None:
        """Add a key that is not there."""

    def touch(self, keys: Iterable[int]) -> None:
        """Note a use of keys that are there, in the given order."""

    def evict(self, n: int, busy: Container[int]) -> list[int]:
        """Drop the first `n` keys that are not busy and name them; there are so many."""


class Fifo:
    """First in, first out: a use changes nothing."""

    def __init__(self) -> None:
        self._order: OrderedDict[int, None] = OrderedDict()

    def expect(self, key: int) -> None:
        """Ignore it."""

    def insert(self, key: int) -> None:
        self._order[key] = None

    def touch(self, keys: Iterable[int]) -> None:
        """Ignore the use."""

    def _candidates(self) -> Iterator[int]:
        return iter(self._order)

    def evict(self, n: int, busy: Container[int]) -> list[int]:
        victims = list(islice((key for key in self._candidates() if key not in busy), n))
        for key in victims:
            del self._order[key]
        return victims


class Lru(Fifo):
    """Least recently used goes first."""

    def touch(self, keys: Iterable[int]) -> None:
        deque(map(self._order.move_to_end, keys), maxlen=0)  # the quickest loop there is


class Mru(Lru):
    """Most recently used goes first."""

    def _candidates(self) -> Iterator[int]:
        return reversed(self._order)


class Lfu:
    """Least frequently used goes first, the older key among equals."""

    def __init__(self) -> None:
        self._uses: dict[int, int] = {}
        self._by_uses: dict[int, OrderedDict[int, None]] = {}

    def expect(self, key: int) -> None:
        """Ignore it."""

    def insert(self, key: int) -> None:
        self._uses[key] = 1
        self._by_uses.setdefault(1, OrderedDict())[key] = None

    def touch(self, keys: Iterable[int]) -> None:
        for key in keys:
            uses = self._uses[key]
            self._drop(key, uses)
            self._uses[key] = uses + 1
            self._by_uses.setdefault(uses + 1, OrderedDict())[key] = None

    def evict(self, n: int, busy: Container[int]) -> list[int]:
        order = (
            key for uses in sorted(self._by_uses) for key in self._by_uses[uses] if key not in busy
        )
        victims = list(islice(order, n))
        for key in victims:
            self._drop(key, self._uses.pop(key))
        return victims

    def _drop(self, key: int, uses: int) -> None:
        equals = self._by_uses[uses]
        del equals[key]
        if not equals:
            del self._by_uses[uses]


def make_policy(
    name: EvictionName, capacity: int, cost: Callable[[int], float] = float
) -> EvictionPolicy:
    """Build the policy of that name, empty; `cost` is that of the chunk at a place of a prompt."""
    match name:
        case "lru" | "ttl":
            return Lru()
        case "fifo":
            return Fifo()
        case "lfu":
            return Lfu()
        case "mru":
            return Mru()
        case "s3fifo":
            return S3Fifo(capacity)
        case "arc":
            return Arc(capacity)
        case "cost_aware":
            return CostAware(cost)
        case _:
            assert_never(name)
