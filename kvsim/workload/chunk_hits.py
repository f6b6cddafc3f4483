"""The policies without extents over a whole trace: nothing but integers, lists and dictionaries.

Chunks are numbered from 0. Each function yields the leading hits of each prompt and decides as the
policy of that name in `kvsim.cache`, but without its busy chunks and without a call a reference.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush

from kvsim.cache.adaptive import ENOUGH_USES, MOST_USES, s3fifo_rooms
from kvsim.cache.belady import leading_hits
from kvsim.cache.keys import Keys, key_parts


def second_hit(prompts: Sequence[Sequence[int]], capacity: int) -> Iterator[int]:
    """Serve under LRU where a chunk enters when it is asked for again."""
    kept: OrderedDict[int, None] = OrderedDict()
    move: Callable[[int], None] = kept.move_to_end
    offered: set[int] = set()
    for keys in prompts:
        yield leading_hits(keys, kept)
        entering = [key for key in keys if key in kept or key in offered]
        offered.update(keys)
        for key in reversed(entering):
            kept[key] = None
            move(key)
        while len(kept) > capacity:
            kept.popitem(last=False)


def mru(prompts: Sequence[Sequence[int]], capacity: int) -> Iterator[int]:
    """Drop the most recently used chunk for each that enters."""
    kept: dict[int, None] = {}
    drop = kept.popitem
    for keys in prompts:
        yield leading_hits(keys, kept)
        for key in reversed(keys):
            if key in kept:
                del kept[key]
            elif len(kept) >= capacity:
                drop()
            kept[key] = None


def lfu(prompts: Sequence[Sequence[int]], num_chunks: int, capacity: int) -> Iterator[int]:
    """Drop the least frequently used chunk, the one that has been so for longest among equals."""
    uses = [0] * num_chunks  # of those that are here
    by_uses: list[OrderedDict[int, None]] = [OrderedDict(), OrderedDict()]
    lowest = 1
    room = capacity
    for keys in prompts:
        yield next((count for count, key in enumerate(keys) if not uses[key]), len(keys))
        for key in reversed(keys):
            used = uses[key]
            if used:
                equals = by_uses[used]
                del equals[key]
                used += 1
                if used == len(by_uses):
                    by_uses.append(OrderedDict())
                if not equals and lowest == used - 1:
                    lowest = used
                uses[key] = used
                by_uses[used][key] = None
                continue
            if room:
                room -= 1
            else:
                uses[by_uses[lowest].popitem(last=False)[0]] = 0
            uses[key] = lowest = 1
            by_uses[1][key] = None


def s3fifo(prompts: Sequence[Sequence[int]], num_chunks: int, capacity: int) -> Iterator[int]:
    """Serve by the three queues of `kvsim.cache.adaptive.S3Fifo`."""
    small_room, main_room, ghost_room = s3fifo_rooms(capacity)
    uses = [-1] * num_chunks  # -1: not here
    small: deque[int] = deque()
    main: deque[int] = deque()
    ghost: OrderedDict[int, None] = OrderedDict()
    room = capacity

    def make_room() -> None:
        if len(main) <= main_room:
            while small:
                key = small.popleft()
                if uses[key] < ENOUGH_USES:
                    uses[key] = -1
                    ghost[key] = None
                    if len(ghost) > ghost_room:
                        ghost.popitem(last=False)
                    return
                uses[key] = 0
                main.append(key)
        while True:
            key = main.popleft()
            if not uses[key]:
                uses[key] = -1
                return
            uses[key] = min(uses[key], MOST_USES) - 1
            main.append(key)

    for keys in prompts:
        yield next((count for count, key in enumerate(keys) if uses[key] < 0), len(keys))
        for key in keys:
            if uses[key] >= 0:
                uses[key] += 1
                continue
            returns = key in ghost
            if returns:
                del ghost[key]
            if room:
                room -= 1
                returns = returns or len(small) >= small_room  # fill the main queue first
            else:
                make_room()
            uses[key] = 0
            (main if returns else small).append(key)


def arc(prompts: Sequence[Sequence[int]], capacity: int) -> Iterator[int]:
    """Serve by the four lists of `kvsim.cache.adaptive.Arc`."""
    once: OrderedDict[int, None] = OrderedDict()
    again: OrderedDict[int, None] = OrderedDict()
    lost_once: OrderedDict[int, None] = OrderedDict()
    lost_again: OrderedDict[int, None] = OrderedDict()
    kept: set[int] = set()
    target = 0.0

    def make_room(returns: bool, favours_once: bool) -> None:
        if not returns:
            if len(once) + len(lost_once) >= capacity:
                if not lost_once:
                    kept.remove(once.popitem(last=False)[0])
                    return
                lost_once.popitem(last=False)
            elif lost_again and len(kept) + len(lost_once) + len(lost_again) >= 2 * capacity:
                lost_again.popitem(last=False)
        size = len(once)
        over = size > target or (size == target and favours_once)
        if (size and over) or not again:
            key = once.popitem(last=False)[0]
            lost_once[key] = None
        else:
            key = again.popitem(last=False)[0]
            lost_again[key] = None
        kept.remove(key)

    move = again.move_to_end
    for keys in prompts:
        yield leading_hits(keys, kept)
        for key in keys:
            if key in kept:
                if key in again:
                    move(key)
                else:
                    del once[key]
                    again[key] = None
                continue
            returns = favours_once = False
            if key in lost_once:
                gain = max(len(lost_again) / len(lost_once), 1.0)
                target = min(target + gain, capacity)
                del lost_once[key]
                returns = True
            elif key in lost_again:
                target = max(target - max(len(lost_once) / len(lost_again), 1.0), 0.0)
                del lost_again[key]
                returns = favours_once = True
            if len(kept) >= capacity:
                make_room(returns, favours_once)
            kept.add(key)
            (again if returns else once)[key] = None


def cost_aware(
    prompts: Sequence[Keys], capacity: int, cost: Callable[[int], float]
) -> Iterator[int]:
    """Serve as `kvsim.cache.adaptive.CostAware`, a run of one text at once where nothing leaves."""
    deepest = max((key_parts(run[-1])[1] for keys in prompts for run in keys), default=0)
    costs = [cost(place) for place in range(deepest + 1)]
    places: dict[int, list[int]] = {}  # by text, ascending; never two the same
    ranks: dict[int, float] = {}
    lowest: list[tuple[float, int]] = []
    age = 0.0
    used = 0
    for keys in prompts:
        runs = []
        hits = 0
        whole = True
        for run in keys:
            node, first = key_parts(run.start)
            end = first + len(run)
            mine = places.get(node, [])
            lo, hi = bisect_left(mine, first), bisect_left(mine, end)
            runs.append((node, first, end))
            if whole:
                whole = hi - lo == len(run)
                there = enumerate(mine[lo:hi], first)
                hits += (
                    len(run) if whole else next((n - first for n, at in there if n != at), hi - lo)
                )
        yield hits
        for node, first, end in reversed(runs):
            mine = places.setdefault(node, [])
            lo, hi = bisect_left(mine, first), bisect_left(mine, end)
            absent = end - first - (hi - lo)
            if used + absent <= capacity:
                if absent:
                    mine[lo:hi] = range(first, end)
                    used += absent
                rank = age + max(costs[first:end])
                if rank > ranks.get(node, -1.0):
                    ranks[node] = rank
                    heappush(lowest, (rank, node))
                continue
            for place in range(end - 1, first - 1, -1):
                at = bisect_left(mine, place)
                if at == len(mine) or mine[at] != place:
                    if used < capacity:
                        used += 1
                    else:
                        while True:
                            rank, other = lowest[0]
                            victims = places[other]
                            if victims and ranks[other] == rank:
                                break
                            heappop(lowest)
                        age = rank
                        victims.pop()
                        if not victims:
                            ranks[other] = -1.0
                    insort(mine, place)
                rank = age + costs[place]
                if rank > ranks.get(node, -1.0):
                    ranks[node] = rank
                    heappush(lowest, (rank, node))
