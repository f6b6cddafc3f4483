"""Hit tokens of a trace by cache size and policy, without time: prompts come one after the other.

One cache holds the chunks of all prompts. A prompt's hits are its leading chunks that are there.
Then it is used and entered: under lru and its kin from the last chunk to the first, so that the end
of a prefix goes first, as LMCache touches it; under fifo, s3fifo and arc from the first to the
last, room being made chunk by chunk. Nothing is pinned, answers are not entered. These rules give
the numbers of kvcache-simulator for lru, fifo and optimal on the Mooncake traces.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kvsim.cache.belady import leading_hits, optimal_hits
from kvsim.cache.keys import num_keys, parts_key, unit_keys
from kvsim.cache.policies import make_policy
from kvsim.errors import ConfigError
from kvsim.spec.offload import EvictionName
from kvsim.workload.prefix_tree import build_paths
from kvsim.workload.trace_stats import prompt_parts
from kvsim.workload.traces.trace import Floats, Trace, check_granularity

HitPolicy = Literal[
    "lru", "fifo", "lfu", "mru", "s3fifo", "arc", "cost_aware", "second_hit", "optimal"
]
FRONT_FIRST = ("fifo", "s3fifo", "arc")
_NAMES: dict[HitPolicy, EvictionName] = {
    "fifo": "fifo",
    "lfu": "lfu",
    "mru": "mru",
    "s3fifo": "s3fifo",
    "arc": "arc",
    "cost_aware": "cost_aware",
}


@dataclass(frozen=True, slots=True)
class References:
    """The chunks that the prompts of a trace ask for, in order."""

    prompts: list[list[int]]
    covered: list[int]
    """Tokens of each prompt that its chunks stand for."""
    prompt_tokens: list[int]
    chunk_tokens: int

    @property
    def num_chunks(self) -> int:
        """Count all references."""
        return sum(map(len, self.prompts))

    @property
    def num_distinct(self) -> int:
        """Count the different chunks: a cache of so many never evicts."""
        return len(set().union(*self.prompts))


@dataclass(frozen=True, slots=True)
class Hits:
    """What a cache of one size and policy found."""

    policy: HitPolicy
    capacity_chunks: int
    hit_tokens: int
    total_tokens: int

    @property
    def rate(self) -> float:
        """Return the part of the prompt tokens that were hits."""
        return self.hit_tokens / self.total_tokens if self.total_tokens else 0.0


def references(trace: Trace, chunk_tokens: int | None = None) -> References:
    """Cut the prompts of a trace into chunks, by default those of its hash ids.

    A last, shorter chunk counts where it has a hash id of its own; of other chunks only full ones.
    """
    paths = build_paths(trace, answers="private").paths
    prompt_tokens = trace.prompt_tokens.tolist()
    unit = chunk_tokens or trace.hash_tokens
    if not unit:
        raise ConfigError(f"{trace.name} has no hash ids to tell chunks by; give --chunk-tokens")
    check_granularity(trace, unit)
    prompts: list[list[int]] = []
    if unit == trace.hash_tokens:
        covered = trace.hashed_tokens().tolist()
        for row, path in enumerate(paths):
            keys: list[int] = []
            for node, first, end in prompt_parts(path, covered[row], unit):
                keys.extend(range(parts_key(node, first), parts_key(node, -(-end // unit))))
            prompts.append(keys)
        return References(prompts, covered, prompt_tokens, unit)
    for path, tokens in zip(paths, prompt_tokens, strict=True):
        runs = unit_keys(path, unit, 0, tokens // unit)
        prompts.append([key for run in runs for key in run])
        assert num_keys(runs) == tokens // unit
    return References(
        prompts, [tokens // unit * unit for tokens in prompt_tokens], prompt_tokens, unit
    )


def count_hits(
    asked: References,
    policy: HitPolicy,
    capacity_chunks: int,
    *,
    from_row: int = 0,
    cost: Callable[[int], float] = float,
) -> Hits:
    """Send all prompts through one cache; only those from `from_row` on are counted.

    `cost` is that of computing the chunk at a place of a prompt, for cost_aware.
    """
    if not 0 <= from_row < max(1, len(asked.prompts)):
        raise ConfigError(f"the trace has {len(asked.prompts)} requests, none from {from_row} on")
    found = np.fromiter(_hits(asked, policy, capacity_chunks, cost), np.int64, len(asked.prompts))
    tokens = np.minimum(found * asked.chunk_tokens, np.array(asked.covered, dtype=np.int64))
    total = int(np.sum(asked.prompt_tokens[from_row:]))
    return Hits(policy, capacity_chunks, int(tokens[from_row:].sum()), total)


def _hits(
    asked: References, policy: HitPolicy, capacity: int, cost: Callable[[int], float]
) -> Iterator[int]:
    if capacity <= 0:
        return iter([0] * len(asked.prompts))
    if policy == "optimal":
        return optimal_hits(asked.prompts, capacity)
    if policy == "lru":
        return _lru(asked.prompts, capacity)
    if policy == "second_hit":
        return _lru(asked.prompts, capacity, admit_first=False)
    return _by_policy(asked.prompts, policy, capacity, cost)


def _lru(prompts: list[list[int]], capacity: int, *, admit_first: bool = True) -> Iterator[int]:
    """Serve under LRU; without `admit_first`, a chunk enters when it is asked for again."""
    kept: OrderedDict[int, None] = OrderedDict()
    move: Callable[[int], None] = kept.move_to_end
    offered: set[int] = set()
    for keys in prompts:
        hits = 0
        for key in keys:
            if key not in kept:
                break
            hits += 1
        yield hits
        if not admit_first:
            entering = [key for key in keys if key in kept or key in offered]
            offered.update(keys)
        else:
            entering = keys
        for key in reversed(entering):
            kept[key] = None
            move(key)
        while len(kept) > capacity:
            kept.popitem(last=False)


def _by_policy(
    prompts: list[list[int]], policy: HitPolicy, capacity: int, cost: Callable[[int], float]
) -> Iterator[int]:
    order = make_policy(_NAMES[policy], capacity, cost)
    front_first = policy in FRONT_FIRST
    kept: set[int] = set()
    for keys in prompts:
        yield leading_hits(keys, kept)
        for key in keys if front_first else reversed(keys):
            if key in kept:
                order.touch((key,))
                continue
            order.expect(key)
            if len(kept) >= capacity:
                kept.difference_update(order.evict(1, ()))
            order.insert(key)
            kept.add(key)


@dataclass(frozen=True, slots=True)
class Ages:
    """How long chunks had not been used, when they were hit and when they were evicted (s).

    Evictions younger than most hits tell thrashing: chunks go that would have been hits.
    """

    at_hit_s: Floats
    at_eviction_s: Floats


def ages(trace: Trace, asked: References, capacity_chunks: int) -> Ages:
    """Measure both ages in an LRU cache of so many chunks."""
    used_s: OrderedDict[int, float] = OrderedDict()
    at_hit: list[float] = []
    at_eviction: list[float] = []
    for now_s, keys in zip(trace.time_s.tolist(), asked.prompts, strict=True):
        for key in keys:
            last_s = used_s.get(key)
            if last_s is None:
                break
            at_hit.append(now_s - last_s)
        for key in reversed(keys):
            used_s[key] = now_s
            used_s.move_to_end(key)
        while len(used_s) > capacity_chunks:
            at_eviction.append(now_s - used_s.popitem(last=False)[1])
    return Ages(np.array(at_hit), np.array(at_eviction))
