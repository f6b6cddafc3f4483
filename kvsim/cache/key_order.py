"""The keys of a tier one by one, in the order of any policy; expiry and admission."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Protocol

from kvsim.cache.keys import Keys, leading
from kvsim.cache.policies import EvictionPolicy, Lru


class Busy(Protocol):
    """Keys that may not leave."""

    def __contains__(self, key: object, /) -> bool: ...
    def isdisjoint(self, keys: range, /) -> bool: ...


class Order(Protocol):
    """The resident keys of a tier, and who goes first."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[int]: ...

    def prefix(self, keys: Keys) -> int:
        """Count the leading keys that are resident."""

    def touch(self, keys: Keys) -> None:
        """Note a use of resident keys, from the last to the first."""

    def insert(self, keys: range) -> list[int]:
        """Add the keys that are not resident, in order; return those that did not enter."""

    def evict(self, n: int, busy: Busy) -> Iterable[int]:
        """Drop the first `n` keys that are not busy, and name them; there are so many."""


class KeyOrder:
    """Keep a set of resident keys beside a policy."""

    def __init__(self, policy: EvictionPolicy) -> None:
        self._policy = policy
        self._resident: set[int] = set()

    def __len__(self) -> int:
        return len(self._resident)

    def __iter__(self) -> Iterator[int]:
        return iter(self._resident)

    def prefix(self, keys: Keys) -> int:
        return leading(keys, self._resident)

    def touch(self, keys: Keys) -> None:
        self._policy.touch(chain.from_iterable(reversed(run) for run in reversed(keys)))

    def insert(self, keys: range) -> list[int]:
        known = [key for key in keys if key in self._resident]
        for key in keys:
            if key not in self._resident:
                self._policy.insert(key)
        self._resident.update(keys)
        return known

    def evict(self, n: int, busy: Busy) -> Iterable[int]:
        victims = self._policy.evict(n, busy)
        assert len(victims) == n, "evict without so many victims"
        self._resident.difference_update(victims)
        return victims


class TtlOrder(KeyOrder):
    """Find keys only within a time of their last use; the one unused for longest goes first.

    Nothing is dropped before its room is needed, as in stores that expire lazily.
    """

    def __init__(self, ttl_s: float, now: Callable[[], float]) -> None:
        super().__init__(Lru())
        self._ttl_s = ttl_s
        self._now = now
        self._used_s: dict[int, float] = {}

    def prefix(self, keys: Keys) -> int:
        oldest_s = self._now() - self._ttl_s
        count = 0
        for key in chain.from_iterable(keys):
            if key not in self._resident or self._used_s[key] < oldest_s:
                break
            count += 1
        return count

    def touch(self, keys: Keys) -> None:
        super().touch(keys)
        self._date(chain.from_iterable(keys))

    def insert(self, keys: range) -> list[int]:
        known = super().insert(keys)
        self._policy.touch(known)
        self._date(keys)
        return known

    def evict(self, n: int, busy: Busy) -> Iterable[int]:
        victims = super().evict(n, busy)
        if len(self._used_s) > 2 * len(self._resident) + 1_000:
            self._used_s = {key: self._used_s[key] for key in self._resident}
        return victims

    def _date(self, keys: Iterable[int]) -> None:
        now_s = self._now()
        self._used_s.update((key, now_s) for key in keys)


class SecondHit:
    """Let a key enter when it is offered a second time; the last ones offered are remembered."""

    def __init__(self, order: Order, remembered: int = 64_000) -> None:
        self._order = order
        self._remembered = remembered
        self._offered: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)

    def prefix(self, keys: Keys) -> int:
        return self._order.prefix(keys)

    def touch(self, keys: Keys) -> None:
        self._order.touch(keys)

    def insert(self, keys: range) -> list[int]:
        """Add what was offered before and is not resident; return the rest."""
        outside: list[int] = []
        for key in keys:
            if key in self._offered or self._order.prefix([range(key, key + 1)]):
                self._offered.pop(key, None)
                outside.extend(self._order.insert(range(key, key + 1)))
            else:
                self._offered[key] = None
                outside.append(key)
        while len(self._offered) > self._remembered:
            self._offered.popitem(last=False)
        return outside

    def evict(self, n: int, busy: Busy) -> Iterable[int]:
        return self._order.evict(n, busy)
