"""Steps on a CPU tier that is kept twice, in extents and by single keys."""

from __future__ import annotations

from collections.abc import Sequence

from kvsim.cache.chunk_tier import ChunkTier
from kvsim.cache.keys import Keys, cut, num_keys, parts_key

VERBS = ["store", "store", "lookup", "lookup", "load", "release", "unpin"]


def keys_of(text: int, lo: int, hi: int) -> Keys:
    """Name chunks of a prompt whose first three are shared by all texts."""
    shared = range(parts_key(0, 0), parts_key(0, 3))
    own = range(parts_key(text + 1, 3), parts_key(text + 1, 20))
    return cut([shared, own], lo, hi)


class Twins:
    """Tiers that get the same steps and must grant and find the same."""

    def __init__(self, tiers: Sequence[ChunkTier]) -> None:
        self.tiers = tiers
        self.held: list[int] = []
        self.pinned: list[int] = []

    def step(self, request_id: int, verb: str, text: int, length: int, choice: int) -> None:
        """Store, look up and pin, load, release what is held, or unpin, as drawn."""
        if verb == "store":
            self._store(keys_of(text, choice % (length + 1), length), held=choice % 3 == 0)
        elif verb == "lookup":
            keys = keys_of(text, 0, length)
            found = [tier.prefix(keys) for tier in self.tiers]
            assert len(set(found)) == 1
            if found[0]:
                for tier in self.tiers:
                    tier.pin(request_id, cut(keys, 0, found[0]))
                self.pinned.append(request_id)
        elif verb == "load":
            self._load(request_id, keys_of(text, 0, length), choice)
        elif verb == "release" and self.held:
            self._release(choice)
        elif verb == "unpin" and self.pinned:
            request = self.pinned.pop(choice % len(self.pinned))
            for tier in self.tiers:
                tier.unpin(request)

    def _release(self, choice: int) -> None:
        key = self.held.pop(choice % len(self.held))
        for tier in self.tiers:
            tier.release([key])

    def _load(self, request_id: int, keys: Keys, choice: int) -> None:
        """Load what is not there behind pinned hits; a put ends meanwhile, a fifth is late."""
        found, wanted = self.tiers[0].prefix(keys), num_keys(keys)
        for tier in self.tiers:
            tier.pin(request_id, cut(keys, 0, found))
        reserved = [tier.reserve(wanted - found) for tier in self.tiers]
        assert len(set(reserved)) == 1
        if reserved[0]:
            if self.held:
                self._release(choice)
            for tier in self.tiers:
                if choice % 5:
                    tier.insert(cut(keys, found, wanted), held=False)
                else:
                    tier.give_back(wanted - found)
        for tier in self.tiers:
            tier.unpin(request_id)

    def _store(self, keys: Keys, *, held: bool) -> None:
        granted = [tier.can_allocate(num_keys(keys)) for tier in self.tiers]
        assert len(set(granted)) == 1
        keys = cut(keys, 0, granted[0])
        for tier in self.tiers:
            tier.allocate(granted[0])
            tier.insert(keys, held=held)
        if held:
            self.held += [key for run in keys for key in run]
