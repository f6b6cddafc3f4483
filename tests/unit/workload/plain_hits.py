"""The cache policies of `trace_hits` one chunk at a time, in the plainest words."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from kvsim.cache.keys import Keys
from kvsim.cache.policies import make_policy
from kvsim.spec.offload import EvictionName


def plain_lru(prompts: list[list[int]], capacity: int) -> list[int]:
    """Use each prompt from its last chunk to its first, then drop the oldest beyond the size."""
    kept: OrderedDict[int, None] = OrderedDict()
    found = []
    for keys in prompts:
        found.append(_leading(keys, set(kept)))
        for key in reversed(keys):
            kept[key] = None
            kept.move_to_end(key)
        while len(kept) > capacity:
            kept.popitem(last=False)
    return found


def plain_fifo(prompts: list[list[int]], capacity: int) -> list[int]:
    """Enter the absent chunks from the first to the last, dropping the oldest entry for each."""
    kept: OrderedDict[int, None] = OrderedDict()
    found = []
    for keys in prompts:
        found.append(_leading(keys, set(kept)))
        for key in keys:
            if key not in kept:
                if len(kept) >= capacity:
                    kept.popitem(last=False)
                kept[key] = None
    return found


def plain_optimal(prompts: list[list[int]], capacity: int) -> list[int]:
    """Enter a whole prompt, then drop what comes back last or never, the deepest first."""
    kept: dict[int, int] = {}  # depth by key
    found = []
    for row, keys in enumerate(prompts):
        found.append(_leading(keys, set(kept)))
        kept |= {key: depth for depth, key in enumerate(keys)}

        def next_use(key: int, row: int = row) -> float:
            later = (n for n in range(row + 1, len(prompts)) if key in prompts[n])
            return next(later, float("inf"))

        uses = {key: next_use(key) for key in kept}
        kept = {key: depth for key, depth in kept.items() if uses[key] < float("inf")}
        while len(kept) > capacity:
            del kept[max(kept, key=lambda key: (uses[key], kept[key]))]
    return found


def plain_policy(
    prompts: list[Keys], name: EvictionName, capacity: int, cost: Callable[[int], float] = float
) -> list[int]:
    """Ask the policy of the tiers about each chunk; s3fifo and arc see the first one first."""
    order = make_policy(name, capacity, cost)
    kept: set[int] = set()
    found = []
    for runs in prompts:
        keys = [key for run in runs for key in run]
        found.append(_leading(keys, kept))
        for key in keys if name in ("s3fifo", "arc") else reversed(keys):
            if key in kept:
                order.touch((key,))
                continue
            order.expect(key)
            if len(kept) >= capacity:
                kept.difference_update(order.evict(1, ()))
            order.insert(key)
            kept.add(key)
    return found


def _leading(keys: list[int], kept: set[int]) -> int:
    return next((count for count, key in enumerate(keys) if key not in kept), len(keys))
