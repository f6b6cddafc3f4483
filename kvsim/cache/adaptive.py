"""Policies that weigh recency against frequency or cost: S3-FIFO, ARC, cost-aware.

S3-FIFO and ARC follow their papers in the form of libCacheSim, decision by decision
(tests/unit/cache/test_policies.py). Where a victim is busy, the next one goes.
"""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable
from heapq import heappop, heappush

from kvsim.cache.keys import key_parts, parts_key

MOST_USES = 3
ENOUGH_USES = 2
_SMALL_PART = 0.1
_GHOST_PART = 0.9


def s3fifo_rooms(capacity: int) -> tuple[int, int, int]:
    """Return how many keys the small, the main and the ghost queue of S3-FIFO have room for."""
    small = max(1, int(capacity * _SMALL_PART))
    return small, max(0, capacity - small), int(capacity * _GHOST_PART)


class S3Fifo:
    """Three FIFO queues (Yang et al., SOSP 2023): what is used once leaves a small queue early.

    A key enters the small queue, a tenth of the room; with two uses there it moves to the main
    queue, where each use gives it another round. A key dropped from the small queue is remembered
    and enters the main queue when it comes back.
    """

    def __init__(self, capacity: int) -> None:
        self._small_room, self._main_room, self._ghost_room = s3fifo_rooms(capacity)
        self._small: OrderedDict[int, int] = OrderedDict()  # uses, by key
        self._main: OrderedDict[int, int] = OrderedDict()
        self._ghost: OrderedDict[int, None] = OrderedDict()
        self._has_evicted = False
        self._returning: int | None = None

    def expect(self, key: int) -> None:
        self._returning = None
        if key in self._ghost:
            del self._ghost[key]
            self._returning = key

    def insert(self, key: int) -> None:
        if self._returning != key:
            self.expect(key)
        if self._returning == key:
            self._returning = None
            self._main[key] = 0
        elif not self._has_evicted and len(self._small) >= self._small_room:
            self._main[key] = 0  # nothing had to leave yet: fill the main queue
        else:
            self._small[key] = 0

    def touch(self, keys: Iterable[int]) -> None:
        for key in keys:
            queue = self._small if key in self._small else self._main
            queue[key] += 1

    def evict(self, n: int, busy: Container[int]) -> list[int]:
        self._has_evicted = True
        return [self._evict_one(busy) for _ in range(n)]

    def _evict_one(self, busy: Container[int]) -> int:
        if len(self._main) <= self._main_room:
            victim = self._evict_small(busy)
            if victim is not None:
                return victim
        victim = self._evict_main(busy)
        if victim is None:
            victim = self._evict_small(busy)
        assert victim is not None, "evict without a victim"
        return victim

    def _evict_small(self, busy: Container[int]) -> int | None:
        """Drop the first key with too few uses, moving those before it to the main queue."""
        for _ in range(len(self._small)):
            key, uses = self._small.popitem(last=False)
            if key in busy:
                self._small[key] = uses
            elif uses >= ENOUGH_USES:
                self._main[key] = 0
            else:
                self._remember(key)
                return key
        return None

    def _evict_main(self, busy: Container[int]) -> int | None:
        """Drop the first key whose uses have been used up, each of which gives another round."""
        skipped = 0
        while skipped < len(self._main):
            key, uses = self._main.popitem(last=False)
            if key in busy:
                self._main[key] = uses
                skipped += 1
            elif not uses:
                return key
            else:
                self._main[key] = min(uses, MOST_USES) - 1
                skipped = 0
        return None

    def _remember(self, key: int) -> None:
        self._ghost[key] = None
        if len(self._ghost) > self._ghost_room:
            self._ghost.popitem(last=False)


class Arc:
    """Adaptive replacement (Megiddo and Modha, FAST 2003).

    Keys used once and keys used again have a list each; what either list lost is remembered for
    a while, and a key that comes back moves the border between them in favour of its list.
    """

    def __init__(self, capacity: int) -> None:
        self._room = capacity
        self._target = 0.0  # keys that the first list should have
        self._once: OrderedDict[int, None] = OrderedDict()
        self._again: OrderedDict[int, None] = OrderedDict()
        self._lost_once: OrderedDict[int, None] = OrderedDict()
        self._lost_again: OrderedDict[int, None] = OrderedDict()
        self._returning: int | None = None
        self._favours_once = False

    def expect(self, key: int) -> None:
        self._returning = None
        self._favours_once = False
        once, again = self._lost_once, self._lost_again
        if key in once:
            self._target = min(self._target + max(len(again) / len(once), 1.0), self._room)
            del once[key]
        elif key in again:
            self._target = max(self._target - max(len(once) / len(again), 1.0), 0.0)
            del again[key]
            self._favours_once = True
        else:
            return
        self._returning = key

    def insert(self, key: int) -> None:
        if self._returning != key:
            self.expect(key)
        if self._returning == key:
            self._again[key] = None
        else:
            self._once[key] = None
        self._returning = None

    def touch(self, keys: Iterable[int]) -> None:
        for key in keys:
            if key in self._once:
                del self._once[key]
                self._again[key] = None
            else:
                self._again.move_to_end(key)

    def evict(self, n: int, busy: Container[int]) -> list[int]:
        return [self._evict_one(busy) for _ in range(n)]

    def _evict_one(self, busy: Container[int]) -> int:
        if self._returning is None:
            if len(self._once) + len(self._lost_once) >= self._room:
                if not self._lost_once:
                    victim = _first(self._once, busy)
                    if victim is not None:
                        del self._once[victim]
                        return victim
                else:
                    self._lost_once.popitem(last=False)
            elif self._lost_again and self._total() >= 2 * self._room:
                self._lost_again.popitem(last=False)
        return self._replace(busy)

    def _replace(self, busy: Container[int]) -> int:
        size = len(self._once)
        over = size > self._target or (size == self._target and self._favours_once)
        lists = [(self._once, self._lost_once), (self._again, self._lost_again)]
        if not ((size and over) or not self._again):
            lists.reverse()
        for kept, lost in lists:
            victim = _first(kept, busy)
            if victim is not None:
                del kept[victim]
                lost[victim] = None
                return victim
        raise AssertionError("evict without a victim")

    def _total(self) -> int:
        held = len(self._once) + len(self._again)
        return held + len(self._lost_once) + len(self._lost_again)


def _first(keys: Iterable[int], busy: Container[int]) -> int | None:
    return next((key for key in keys if key not in busy), None)


class CostAware:
    """What is cheap to compute again goes first, unless it was used lately (Greedy-Dual).

    All chunks have the same size, so the cost of a chunk is its cost per byte: attention makes it
    dearer the deeper it lies. As a hole makes useless what follows, the chunks of one text are
    ranked together, by the cost of the deepest that was used, and the deepest goes first. A rank
    is a cost plus an age that rises to the rank of the last victim.
    """

    def __init__(self, cost: Callable[[int], float]) -> None:
        self._cost = cost
        self._age = 0.0
        self._rank: dict[int, float] = {}
        self._places: dict[int, list[int]] = {}  # resident ones of each text, ascending
        self._lowest: list[tuple[float, int]] = []  # texts, with outdated entries among them

    def expect(self, key: int) -> None:
        """Ignore it."""

    def insert(self, key: int) -> None:
        node, place = key_parts(key)
        insort(self._places.setdefault(node, []), place)
        self._raise(node, place)

    def touch(self, keys: Iterable[int]) -> None:
        deepest: dict[int, int] = {}
        for key in keys:
            node, place = key_parts(key)
            deepest[node] = max(place, deepest.get(node, 0))
        end = max(deepest.values(), default=0)
        for node in deepest:
            self._raise(node, end)

    def evict(self, n: int, busy: Container[int]) -> list[int]:
        victims: list[int] = []
        all_busy: list[tuple[float, int]] = []
        while len(victims) < n:
            rank, node = self._lowest[0]
            places = self._places.get(node)
            if not places or self._rank[node] != rank:
                heappop(self._lowest)
                continue
            index = len(places) - 1
            while index >= 0 and parts_key(node, places[index]) in busy:
                index -= 1
            if index < 0:
                all_busy.append(heappop(self._lowest))
                continue
            self._age = rank
            victims.append(parts_key(node, places.pop(index)))
            if not places:
                del self._places[node], self._rank[node]
        for entry in all_busy:
            heappush(self._lowest, entry)
        return victims

    def _raise(self, node: int, place: int) -> None:
        rank = self._age + self._cost(place)
        if rank > self._rank.get(node, -1.0):
            self._rank[node] = rank
            heappush(self._lowest, (rank, node))
