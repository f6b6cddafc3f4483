"""The best that any cache of a size can do, knowing what comes: Belady's rule with bypass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

_NEVER = 1 << 60


def optimal_hits(prompts: Sequence[Sequence[int]], capacity: int) -> Iterator[int]:
    """Yield for each prompt how many leading keys a cache of `capacity` keys has for it.

    After each prompt, what is asked for again the latest goes, of one prompt the deepest; a key
    that just came may go at once.
    """
    uses = _next_uses(prompts)
    kept: dict[int, int] = {}  # next use, by key
    farthest: list[tuple[int, int, int]] = []
    for keys, again in zip(prompts, uses, strict=True):
        yield leading_hits(keys, kept)
        for depth, (key, use) in enumerate(zip(keys, again, strict=True)):
            if use == _NEVER:
                kept.pop(key, None)
            else:
                kept[key] = use
                heappush(farthest, (-use, -depth, key))
        while len(kept) > capacity:
            use, _, key = heappop(farthest)
            if kept.get(key) == -use:
                del kept[key]


def leading_hits(keys: Sequence[int], kept: dict[int, int] | set[int]) -> int:
    """Count the leading keys that are kept."""
    for count, key in enumerate(keys):
        if key not in kept:
            return count
    return len(keys)


def _next_uses(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Tell for each key of each prompt which prompt asks for it next."""
    following: dict[int, int] = {}
    uses: list[list[int]] = []
    for row in range(len(prompts) - 1, -1, -1):
        keys = prompts[row]
        uses.append([following.get(key, _NEVER) for key in keys])
        following.update(dict.fromkeys(keys, row))
    uses.reverse()
    return uses
