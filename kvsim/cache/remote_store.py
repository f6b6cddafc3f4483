"""What the storage shared by all instances holds, without eviction or limit, as in LMCache."""

from __future__ import annotations

from collections.abc import Iterable

from kvsim.cache.key_runs import KeyRuns
from kvsim.cache.keys import Keys


class RemoteStore:
    """Hold the keys of finished uploads, visible to every instance."""

    def __init__(self, keys: Iterable[int] = ()) -> None:
        self.keys = KeyRuns()
        for key in sorted(keys):
            self.keys.add(range(key, key + 1))

    def prefix(self, keys: Keys) -> int:
        """Count the leading keys that are visible."""
        return self.keys.prefix(keys)
