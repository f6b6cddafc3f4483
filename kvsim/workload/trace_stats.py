"""What a trace asks of caches: lengths, gaps, reuse, working set, and hits by cache size.

One pass over the prompts. A prompt's blocks are those of its hash ids (single tokens where the
trace has none but the order of its sessions). After each request its blocks are touched last to
first, so the deeper a block lies in a node, the older its last touch, and few intervals tell all of
them. The reuse distance of a block is the number of blocks touched since; as a least-recently-used
cache of that many blocks hits, the distances give the exact LRU hit rate of every size at once.
Answers do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kvsim.cache.keys import Path
from kvsim.workload.prefix_tree import build_paths
from kvsim.workload.traces.trace import Floats, Ints, Trace

Progress = Callable[[float], None]
_ROWS_PER_REPORT = 1_000


@dataclass(frozen=True, slots=True)
class Reuse:
    """Runs of blocks that were asked for again, one entry a run, shallowest block first."""

    unit_tokens: int
    newer_blocks: Ints
    """Blocks touched more recently than the run's first block."""
    blocks: Ints
    tokens: Ints
    idle_s: Floats
    """Time since the run was last touched."""
    row: Ints
    """The request that asked."""
    hit_tokens: Ints
    """Per request: tokens that any earlier request had too."""
    new_blocks: Ints
    """Per request: blocks never seen before."""
    last_touch_s: Floats
    """When the run was last touched."""

    def lru_hit_tokens(self, capacity_blocks: int, *, from_row: int = 0) -> int:
        """Count the hit tokens of a least-recently-used cache of so many blocks."""
        room = min(capacity_blocks, int(self.new_blocks.sum()))  # no more than there are
        kept = np.clip(room - self.newer_blocks, 0, self.blocks)
        tokens = np.minimum(kept * self.unit_tokens, self.tokens)
        return int(tokens[self.row >= from_row].sum())

    def distance_quantiles(self, levels: list[float]) -> list[float]:
        """Return quantiles of the reuse distance in tokens, over reused tokens."""
        middle = self.newer_blocks + self.blocks / 2
        return weighted_quantiles(middle * self.unit_tokens, self.tokens, levels)


def measure_reuse(trace: Trace, *, progress: Progress = lambda _: None) -> Reuse:
    """Walk through the prompts in the order of their times."""
    paths = build_paths(trace, answers="private").paths
    unit = trace.hash_tokens or 1
    covered = (trace.hashed_tokens() if trace.hash_tokens else trace.prompt_tokens).tolist()
    parts = (prompt_parts(path, end, unit) for path, end in zip(paths, covered, strict=True))
    return reuse_of(parts, trace.time_s.tolist(), unit, progress=progress)


def reuse_of(
    prompts: Iterable[list[tuple[int, int, int]]],
    time_s: Sequence[float],
    unit: int,
    *,
    progress: Progress = lambda _: None,
) -> Reuse:
    """Measure reuse of prompts whose blocks are given by node: (node, first block, end token)."""
    rows = len(time_s)
    recency = _Recency(rows)
    touched: dict[int, list[tuple[int, int]]] = {}
    runs: list[tuple[int, int, int, float, int, float]] = []
    hit_tokens = np.zeros(rows, dtype=np.int64)
    new_blocks = np.zeros(rows, dtype=np.int64)
    for row, parts in enumerate(prompts):
        if row % _ROWS_PER_REPORT == 0:
            progress(row / rows)
        moved: list[tuple[int, int]] = []
        total = shallower = 0
        for node, lo, hi_token in parts:
            hi = -(-hi_token // unit)
            total += hi - lo
            position = lo
            # Entries run from the deepest, oldest touch to the shallowest, latest one.
            entries = touched.setdefault(node, [])
            while entries and position < hi:
                end, before = entries[-1]
                if end > position:
                    stop = min(end, hi)
                    length = stop - position
                    # What the same request touched last and lies above in this prompt is newer.
                    shallower = shallower if moved and moved[-1][0] == before else 0
                    newer = recency.newer_than(before) + shallower
                    shallower += length
                    tokens = min(stop * unit, hi_token) - position * unit
                    last_s = time_s[before]
                    runs.append((newer, length, tokens, time_s[row] - last_s, row, last_s))
                    hit_tokens[row] += tokens
                    moved.append((before, length))
                    position = stop
                if end <= hi:
                    entries.pop()
            new_blocks[row] += hi - position
            entries.append((hi, row))
        for before, length in moved:
            recency.add(before, -length)
        recency.add(row, total)
    progress(1.0)
    columns = np.array(runs, dtype=np.float64).reshape(-1, 6).T
    return Reuse(
        unit,
        columns[0].astype(np.int64),
        columns[1].astype(np.int64),
        columns[2].astype(np.int64),
        columns[3],
        columns[4].astype(np.int64),
        hit_tokens,
        new_blocks,
        columns[5],
    )


def prompt_parts(path: Path, covered: int, unit: int) -> list[tuple[int, int, int]]:
    """Cut the covered part of a prompt by node: (node, first block, end token)."""
    parts: list[tuple[int, int, int]] = []
    start = 0
    for node, end in path:
        end = min(end, covered)
        if end > start:
            parts.append((node, start // unit, end))
            start = end
    return parts


class _Recency:
    """How many blocks each request was the last to touch, as a tree of partial sums."""

    def __init__(self, size: int) -> None:
        self._sums = [0] * (size + 1)
        self._total = 0

    def add(self, place: int, blocks: int) -> None:
        self._total += blocks
        place += 1
        sums = self._sums
        while place < len(sums):
            sums[place] += blocks
            place += place & -place

    def newer_than(self, place: int) -> int:
        """Count the blocks last touched by requests after this one."""
        place += 1
        until = 0
        sums = self._sums
        while place:
            until += sums[place]
            place -= place & -place
        return self._total - until


@dataclass(frozen=True, slots=True)
class Window:
    """What one part of the trace's time asks for."""

    start_s: float
    requests: int
    prompt_tokens: int
    hit_tokens: int
    working_set_tokens: int
    """Distinct tokens asked for within the window."""
    seen_tokens: int
    """Distinct tokens asked for since the start of the trace."""


def windows(trace: Trace, reuse: Reuse, num_windows: int = 10) -> list[Window]:
    """Cut the trace's time into equal windows; a trace without times is one."""
    begin_s, span_s = float(trace.time_s[0]), trace.span_s
    num_windows = num_windows if span_s > 0 else 1
    width_s = span_s / num_windows
    edges_s = begin_s + width_s * np.arange(1, num_windows)
    place = np.searchsorted(edges_s, trace.time_s, side="right")
    starts_s = np.r_[begin_s, edges_s]
    fresh = np.bincount(place, weights=reuse.new_blocks, minlength=num_windows)
    run_place = place[reuse.row]
    returning = reuse.last_touch_s < starts_s[run_place]
    back = np.bincount(run_place[returning], weights=reuse.blocks[returning], minlength=num_windows)
    requests = np.bincount(place, minlength=num_windows)
    prompt = np.bincount(place, weights=trace.prompt_tokens, minlength=num_windows)
    hits = np.bincount(place, weights=reuse.hit_tokens, minlength=num_windows)
    unit = reuse.unit_tokens
    return [
        Window(
            float(starts_s[i]),
            int(requests[i]),
            int(prompt[i]),
            int(hits[i]),
            int((fresh[i] + back[i]) * unit),
            int(fresh[: i + 1].sum() * unit),
        )
        for i in range(num_windows)
    ]


def weighted_quantiles(values: Floats | Ints, weights: Ints, levels: list[float]) -> list[float]:
    """Return the values below which the given parts of the weight lie."""
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(weights[order])
    if not cumulated.size or not cumulated[-1]:
        return [float("nan")] * len(levels)
    places = np.searchsorted(cumulated, np.array(levels) * cumulated[-1])
    return [float(value) for value in values[order][np.minimum(places, order.size - 1)]]
