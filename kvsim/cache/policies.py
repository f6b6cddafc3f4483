"""Which chunk goes when room is needed: the four policies of LMCache's CPU tier.

Names and meaning as LMCache's `cache_policy`: LRU, FIFO, LFU (ties: oldest first) and MRU. A
policy knows keys and their order, nothing of sizes or time.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Container, Iterable, Iterator
from itertools import islice
from typing import Literal, Protocol, assert_never

EvictionName = Literal["lru", "fifo", "lfu", "mru"]


class EvictionPolicy(Protocol):
    """Order the keys of one tier by who goes first."""

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

    def insert(self, key: int) -> None:
        self._uses[key] = 1
        self._by_uses.setdefault(1, OrderedDict())[key] = None

    def touch(self, keys: Iterable[int]) -> None:
        for key in keys:
            uses = self._uses[key]
            del self._by_uses[uses][key]
            self._uses[key] = uses + 1
            self._by_uses.setdefault(uses + 1, OrderedDict())[key] = None

    def evict(self, n: int, busy: Container[int]) -> list[int]:
        order = (
            key for uses in sorted(self._by_uses) for key in self._by_uses[uses] if key not in busy
        )
        victims = list(islice(order, n))
        for key in victims:
            del self._by_uses[self._uses.pop(key)][key]
        return victims


def make_policy(name: EvictionName) -> EvictionPolicy:
    """Build the policy of that name, empty."""
    match name:
        case "lru":
            return Lru()
        case "fifo":
            return Fifo()
        case "lfu":
            return Lfu()
        case "mru":
            return Mru()
        case _:
            assert_never(name)
