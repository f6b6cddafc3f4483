"""The keys of a tier one by one, in the order of any policy."""

from __future__ import annotations

from itertools import chain

from kvsim.cache.keys import Keys, leading
from kvsim.cache.policies import EvictionPolicy


class KeyOrder:
    """Keep a set of resident keys beside a policy."""

    def __init__(self, policy: EvictionPolicy) -> None:
        self._policy = policy
        self._resident: set[int] = set()

    def __len__(self) -> int:
        return len(self._resident)

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

    def evict(self, n: int, busy: set[int]) -> None:
        victims = self._policy.evict(n, busy)
        assert len(victims) == n, "evict without so many victims"
        self._resident.difference_update(victims)
