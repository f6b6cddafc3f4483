"""The host's page cache: which files a client can read again without the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class PageCache:
    """Least recently used files, up to a number of bytes; a file too large for it is not kept."""

    __slots__ = ("_files", "capacity_bytes", "used_bytes")

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.used_bytes = 0
        self._files: dict[int, int] = {}  # key to bytes, the least recently used first

    def __contains__(self, key: int) -> bool:
        return key in self._files

    def count(self, keys: Iterable[int]) -> int:
        """Count the files that are here; refreshes none."""
        return sum([key in self._files for key in keys])

    def put(self, key: int, n_bytes: int) -> None:
        """Enter a file that was read or written as the most recently used one."""
        files = self._files
        self.used_bytes += n_bytes - files.pop(key, 0)
        files[key] = n_bytes
        while self.used_bytes > self.capacity_bytes:
            self.used_bytes -= files.pop(next(iter(files)))
