"""The best that any cache of a size can do, knowing what comes: Belady's rule with bypass.

The deeper a key of a prompt lies, the fewer prompts share it and the later it is next asked for. So
the keys of a prompt fall into few spans of depth with the same next prompt, and what is kept for
one prompt are spans of its depth, of which the deepest goes first.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from heapq import heappop, heappush

from kvsim.cache.keys import Keys, node_of

_NEVER = -1


def optimal_hits(prompts: Sequence[Keys], capacity: int) -> Iterator[int]:
    """Yield for each prompt how many leading keys a cache of `capacity` keys has for it.

    After each prompt, what is asked for again the latest goes, of one prompt the deepest; a key
    that just came may go at once. The keys of a prompt are those of a path from a root.
    """
    kept: dict[int, list[list[int]]] = {}  # by next prompt: spans [lo, hi) of its depth
    used = 0
    farthest: list[int] = []  # the next prompts for which something is kept, negated
    for row, spans in enumerate(_next_uses(prompts)):
        mine = sorted(kept.pop(row, ()))
        used -= sum(hi - lo for lo, hi in mine)
        hits = 0
        for lo, hi in mine:
            if lo > hits:
                break
            hits = hi
        yield hits
        for lo, hi, use in spans:
            if use == _NEVER:
                continue
            if use not in kept:
                kept[use] = []
                heappush(farthest, -use)
            kept[use].append([lo, hi])
            used += hi - lo
        while used > capacity:
            last = kept[-farthest[0]]
            deepest = max(last)
            dropped = min(used - capacity, deepest[1] - deepest[0])
            deepest[1] -= dropped
            used -= dropped
            if deepest[0] == deepest[1]:
                last.remove(deepest)
                if not last:
                    del kept[-heappop(farthest)]


def leading_hits(keys: Sequence[int], kept: Container[int]) -> int:
    """Count the leading keys that are kept."""
    for count, key in enumerate(keys):
        if key not in kept:
            return count
    return len(keys)


def _next_uses(prompts: Sequence[Keys]) -> list[list[tuple[int, int, int]]]:
    """Cut each prompt into spans of depth by the prompt that asks for them next."""
    following: dict[int, list[tuple[int, int]]] = {}  # by node: (end, prompt), deepest first
    uses: list[list[tuple[int, int, int]]] = []
    for row in range(len(prompts) - 1, -1, -1):
        spans: list[tuple[int, int, int]] = []
        depth = 0
        for run in prompts[row]:
            later = following.setdefault(node_of(run.start), [])
            position = run.start
            while later and position < run.stop:
                end, use = later[-1]
                if end > position:
                    stop = min(end, run.stop)
                    spans.append((depth, depth + stop - position, use))
                    depth += stop - position
                    position = stop
                if end <= run.stop:
                    later.pop()
            if position < run.stop:
                spans.append((depth, depth + run.stop - position, _NEVER))
                depth += run.stop - position
            later.append((run.stop, row))
        uses.append(spans)
    uses.reverse()
    return uses
