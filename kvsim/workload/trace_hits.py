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
from functools import cached_property
from itertools import chain, islice
from typing import Literal

import numpy as np

from kvsim.cache.belady import optimal_hits
from kvsim.cache.extents import ExtentOrder
from kvsim.cache.key_runs import KeyRuns
from kvsim.cache.keys import Keys, cut, key_parts, num_keys, parts_key, unit_keys
from kvsim.errors import ConfigError
from kvsim.workload import chunk_hits
from kvsim.workload.prefix_tree import build_paths
from kvsim.workload.trace_stats import Reuse, prompt_parts, reuse_of
from kvsim.workload.traces.trace import Floats, Trace, check_granularity

HitPolicy = Literal[
    "lru", "fifo", "lfu", "mru", "s3fifo", "arc", "cost_aware", "second_hit", "optimal"
]
_NONE_BUSY: set[int] = set()


@dataclass(frozen=True, eq=False)
class References:
    """The chunks that the prompts of a trace ask for, in order."""

    runs: list[Keys]
    """The chunks of each prompt; no prompt has one twice."""
    covered: list[int]
    """Tokens of each prompt that its chunks stand for."""
    prompt_tokens: list[int]
    time_s: list[float]
    chunk_tokens: int

    @cached_property
    def prompts(self) -> list[list[int]]:
        """The chunks of each prompt one by one, numbered from 0."""
        keys = np.fromiter(chain.from_iterable(chain.from_iterable(self.runs)), np.int64)
        numbers = iter(np.unique(keys, return_inverse=True)[1].tolist())
        return [list(islice(numbers, num_keys(runs))) for runs in self.runs]

    @cached_property
    def num_chunks(self) -> int:
        """Count all references."""
        return sum(map(num_keys, self.runs))

    @cached_property
    def num_distinct(self) -> int:
        """Count the different chunks: a cache of so many never evicts."""
        seen = KeyRuns()
        for run in chain.from_iterable(self.runs):
            seen.add(run)
        return len(seen)

    @cached_property
    def reuse(self) -> Reuse:
        """How far apart the uses of each chunk are, which tells what LRU hits at every size."""
        return reuse_of(map(self._parts, self.runs, self.covered), self.time_s, self.chunk_tokens)

    def _parts(self, runs: Keys, covered: int) -> list[tuple[int, int, int]]:
        unit = self.chunk_tokens
        parts = []
        for run in runs:
            node, first = key_parts(run.start)
            parts.append((node, first, min((first + len(run)) * unit, covered)))
        return parts


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
    runs: list[Keys] = []
    if unit == trace.hash_tokens:
        covered = trace.hashed_tokens().tolist()
        for row, path in enumerate(paths):
            parts = prompt_parts(path, covered[row], unit)
            runs.append(
                [
                    range(parts_key(node, first), parts_key(node, -(-end // unit)))
                    for node, first, end in parts
                ]
            )
    else:
        runs = [
            unit_keys(path, unit, 0, tokens // unit)
            for path, tokens in zip(paths, prompt_tokens, strict=True)
        ]
        covered = [tokens // unit * unit for tokens in prompt_tokens]
    return References(runs, covered, prompt_tokens, trace.time_s.tolist(), unit)


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
    if not 0 <= from_row < max(1, len(asked.runs)):
        raise ConfigError(f"the trace has {len(asked.runs)} requests, none from {from_row} on")
    total = int(np.sum(asked.prompt_tokens[from_row:]))
    if policy == "lru":
        found_tokens = asked.reuse.lru_hit_tokens(max(0, capacity_chunks), from_row=from_row)
        return Hits(policy, capacity_chunks, found_tokens, total)
    found = np.fromiter(_hits(asked, policy, capacity_chunks, cost), np.int64, len(asked.runs))
    tokens = np.minimum(found * asked.chunk_tokens, np.array(asked.covered, dtype=np.int64))
    return Hits(policy, capacity_chunks, int(tokens[from_row:].sum()), total)


def _hits(
    asked: References, policy: HitPolicy, capacity: int, cost: Callable[[int], float]
) -> Iterator[int]:
    if capacity <= 0:
        return iter([0] * len(asked.runs))
    if policy == "optimal":
        return optimal_hits(asked.runs, capacity)
    if policy == "fifo":
        return _fifo(asked.runs, capacity)
    if policy == "cost_aware":
        return chunk_hits.cost_aware(asked.runs, capacity, cost)
    if policy == "lfu":
        return chunk_hits.lfu(asked.prompts, asked.num_distinct, capacity)
    if policy == "s3fifo":
        return chunk_hits.s3fifo(asked.prompts, asked.num_distinct, capacity)
    by_name = {"mru": chunk_hits.mru, "arc": chunk_hits.arc, "second_hit": chunk_hits.second_hit}
    return by_name[policy](asked.prompts, capacity)


def _fifo(prompts: list[Keys], capacity: int) -> Iterator[int]:
    """Serve first in, first out: each gap in a prompt enters at once, as chunk by chunk."""
    kept = ExtentOrder(moves=False)
    for keys in prompts:
        hits = kept.prefix(keys)
        yield hits
        for run in cut(keys, hits, num_keys(keys)):
            position = run.start
            while position < run.stop:
                end = kept.gap_end(position, run.stop)
                entering = range(max(position, end - capacity), end)
                if entering:
                    evicted = max(0, min(len(kept), len(kept) + end - position - capacity))
                    if evicted:
                        kept.evict(evicted, _NONE_BUSY)
                    kept.insert(entering)
                position = end + kept.prefix([range(end, run.stop)]) if end < run.stop else end


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
