"""What the storage shared by all instances holds.

Without a limit nothing ever leaves it: LMCache deletes nothing there, nor does a store by itself.
With one, it is a tier whose policy stands for somebody else's clean-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Protocol

from kvsim.cache.chunk_tier import ChunkTier
from kvsim.cache.key_runs import KeyRuns
from kvsim.cache.keys import Keys, cut
from kvsim.cache.tenant_tier import NO_LIMIT

_LOOKUP = -1


class RemoteStore(Protocol):
    """The keys of finished uploads, visible to every instance."""

    @property
    def capacity_chunks(self) -> int | None: ...
    @property
    def evicted_chunks(self) -> int: ...
    @property
    def peak_chunks(self) -> int: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[int]: ...

    def look_up(self, keys: Keys) -> int:
        """Count the leading keys that are visible, which uses them."""

    def claim(self, keys: range, tenant: str) -> None:
        """Say who uploads these keys: the first who does is charged for them."""

    def add(self, keys: range) -> None:
        """Enter consecutive keys of one node whose uploads have ended."""


class EndlessStore:
    """Hold every key for ever."""

    capacity_chunks: int | None = None
    evicted_chunks = 0

    def __init__(self, keys: Iterable[int] = ()) -> None:
        self._runs = KeyRuns()
        self.look_up = self._runs.prefix
        self.add = self._runs.add
        for key in sorted(keys):
            self._runs.add(range(key, key + 1))

    @property
    def peak_chunks(self) -> int:
        """Count the keys: they only become more."""
        return len(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[int]:
        return iter(self._runs)

    def claim(self, keys: range, tenant: str) -> None:
        """Charge nobody: there is room for all."""


class LimitedStore:
    """Hold keys in a tier, whose policy says which go.

    What a look-up has found is still read: a file server and an object store finish what they have
    begun to send. A key that is uploaded again takes no further room.
    """

    def __init__(self, tier: ChunkTier, keys: Iterable[int] = ()) -> None:
        self.tier = tier
        self.capacity_chunks = None if tier.capacity_chunks == NO_LIMIT else tier.capacity_chunks
        self.peak_chunks = 0
        self._payers: dict[int, str] = {}
        for key in sorted(keys):
            self.add(range(key, key + 1))

    @property
    def evicted_chunks(self) -> int:
        """Count the keys that had to go."""
        return self.tier.evicted_chunks

    def __len__(self) -> int:
        return self.tier.num_resident

    def __iter__(self) -> Iterator[int]:
        return self.tier.residents()

    def look_up(self, keys: Keys) -> int:
        found = self.tier.prefix(keys)
        if found:
            self._use(cut(keys, 0, found))
        return found

    def claim(self, keys: range, tenant: str) -> None:
        for key in keys:
            self._payers.setdefault(key, tenant)

    def add(self, keys: range) -> None:
        tier = self.tier
        position = keys.start
        while position < keys.stop:
            there = tier.prefix([range(position, keys.stop)])
            if there:
                self._use([range(position, position + there)])
                position += there
            absent = position
            while absent < keys.stop and not tier.prefix([range(absent, absent + 1)]):
                absent += 1
            for payer, part in groupby(range(position, absent), self._payers.get):
                self._enter([*part], payer)
            position = absent
        self.peak_chunks = max(self.peak_chunks, tier.used_chunks)

    def _use(self, keys: Keys) -> None:
        self.tier.pin(_LOOKUP, keys)
        self.tier.unpin(_LOOKUP)

    def _enter(self, part: list[int], payer: str | None) -> None:
        self.tier.charge_to(payer)
        room = self.tier.can_allocate(len(part))
        if room:
            self.tier.allocate(room)
            self.tier.insert([range(part[0], part[0] + room)], held=False)
