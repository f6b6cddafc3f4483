"""What the storage shared by all instances holds: keys, without eviction or limit (LMCache's fs and s3 connectors)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class RemoteStore:
    """Hold the keys of finished uploads; an object is visible to every instance once its upload ended."""

    def __init__(self, keys: Iterable[int] = ()) -> None:
        self.keys: set[int] = set(keys)

    def prefix(self, keys: Sequence[int]) -> int:
        """Count the leading keys that are visible."""
        visible = self.keys
        for count, key in enumerate(keys):
            if key not in visible:
                return count
        return len(keys)
