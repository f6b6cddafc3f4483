"""How much of a run's prompts a cache of any size could serve, without simulating anything again.

The look-ups of a run, in the order in which they were made, are replayed over one cache of units
(chunks or blocks) that knows no time, pins or transfers. Two policies are exact at every capacity:

- LRU that touches each prompt from its last unit to its first, so that it loses ends before
  beginnings. A unit hits if fewer units than the capacity lie above it in the LRU stack (Mattson
  1970), so one pass serves all capacities.
- Belady's optimum with bypass: keep what is needed soonest. Units needed at the same time go from
  the last to the first, so that what is left of a prompt is always its beginning: no policy, one
  that knows the future included, finds more.

Both work on runs of units that share their fate, so their cost hardly grows with the length of
prompts: a prompt is last touched, and next needed, in few pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from kvsim.cache.keys import Path, spans
from kvsim.workload.request import Request

Floats = NDArray[np.float64]
Run = tuple[int, int]
"""Consecutive units of a prompt, and the look-up that touches them (NOBODY: none)."""

NOBODY = -1


@dataclass(frozen=True, slots=True)
class Lookup:
    """One prompt that was looked up, and what the cache may hold of it afterwards."""

    path: Path
    tokens: int
    """Tokens of the prompt."""
    kept_tokens: int
    """Tokens whose KV exists in the end: the prompt and its answer."""
    when_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reuse:
    """What one cache would find, for each run of units of each look-up."""

    unit_tokens: int
    prompt_tokens: int
    """Tokens of all prompts."""
    lookup: NDArray[np.int64]
    """The look-up that each run belongs to."""
    units: Floats
    """Length of each run that was there before."""
    above: Floats
    """Units above the run's first one in the LRU stack."""
    age_s: Floats
    """Time since each run was last touched."""
    distinct_units: int
    """Units that all prompts and answers consist of: an LRU cache of this size loses nothing."""
    _next: list[list[Run]]
    """Runs of all that each look-up leaves behind, and the look-up that needs them next."""

    @property
    def ceiling_tokens(self) -> int:
        """Tokens that a cache of unlimited size finds."""
        return int(self.units.sum()) * self.unit_tokens

    def lru_units(self, capacity_units: float) -> Floats:
        """Count the units of each look-up that LRU finds at a capacity."""
        found = np.floor(np.clip(capacity_units - self.above, 0, self.units))
        total = np.zeros(len(self._next))
        np.add.at(total, self.lookup, found)
        return total

    def optimal_units(self, capacity_units: int) -> Floats:
        """Count the units of each look-up that Belady's optimum with bypass finds."""
        found = np.zeros(len(self._next))
        kept: dict[int, int] = {}  # look-up -> units kept for it
        last: list[int] = []  # the look-ups that units are kept for, negated: a heap
        used = 0
        for index, runs in enumerate(self._next):
            found[index] = units = kept.pop(index, 0)
            used -= units
            for length, needed in runs:
                if needed == NOBODY:
                    continue
                if needed not in kept:
                    heappush(last, -needed)
                kept[needed] = kept.get(needed, 0) + length
                used += length
            while used > capacity_units:
                latest = -last[0]
                units = kept.get(latest, 0)
                dropped = min(units, used - capacity_units)
                used -= dropped
                if dropped == units:
                    heappop(last)
                    kept.pop(latest, None)
                else:
                    kept[latest] = units - dropped
        return found

    def lru_tokens(self, capacity_units: float) -> int:
        """Count the tokens that LRU finds at a capacity."""
        return int(self.lru_units(capacity_units).sum()) * self.unit_tokens

    def optimal_tokens(self, capacity_units: int) -> int:
        """Count the tokens that no policy can exceed at a capacity."""
        return int(self.optimal_units(capacity_units).sum()) * self.unit_tokens

    def age_for(self, fraction: float) -> float | None:
        """Return the time for which units must stay so that this part of the ceiling is found."""
        if not self.units.size:
            return None
        order = np.argsort(self.age_s, kind="stable")
        total = np.cumsum(self.units[order])
        place = int(np.searchsorted(total, fraction * total[-1] * (1 - 1e-12)))
        return float(self.age_s[order][min(place, order.size - 1)])


def lookups_of(requests: Iterable[Request], instance: int | None = None) -> list[Lookup]:
    """List a run's look-ups in order, of all instances or of one."""
    chosen = [
        r
        for r in requests
        if not r.warmup
        and r.scheduled_s is not None
        and (instance is None or r.instance == instance)
    ]
    chosen.sort(key=lambda r: (r.scheduled_s, r.request_id))
    return [
        Lookup(r.path, r.prompt_tokens, r.prompt_tokens + r.output_tokens - 1, r.scheduled_s or 0.0)
        for r in chosen
    ]


def measure_reuse(lookups: Sequence[Lookup], unit_tokens: int) -> Reuse:
    """Replay look-ups once and keep what answers for all capacities."""
    before = _touches(lookups, unit_tokens)
    count = len(lookups)
    stack = _Stack(count)
    owners: list[int] = []
    units: list[int] = []
    above: list[int] = []
    ages: list[float] = []
    distinct = 0
    for index, lookup in enumerate(lookups):
        looked_up = lookup.tokens // unit_tokens
        position = 0
        for length, toucher in before[index]:
            if toucher == NOBODY:
                distinct += length
            else:
                inside = min(length, looked_up - position)
                if inside > 0:
                    owners.append(index)
                    units.append(inside)
                    above.append(stack.above(toucher))
                    ages.append(lookup.when_s - lookups[toucher].when_s)
            position += length
        for length, toucher in before[index]:
            if toucher != NOBODY:
                stack.add(toucher, -length)
        stack.add(index, position)
    after = _touches(lookups[::-1], unit_tokens, reads_only=True)
    nexts = [
        [(length, NOBODY if by == NOBODY else count - 1 - by) for length, by in runs]
        for runs in after[::-1]
    ]
    return Reuse(
        unit_tokens=unit_tokens,
        prompt_tokens=sum(lookup.tokens for lookup in lookups),
        lookup=np.array(owners, dtype=np.int64),
        units=np.array(units, dtype=np.float64),
        above=np.array(above, dtype=np.float64),
        age_s=np.array(ages, dtype=np.float64),
        distinct_units=distinct,
        _next=nexts,
    )


def _touches(
    lookups: Sequence[Lookup], unit_tokens: int, *, reads_only: bool = False
) -> list[list[Run]]:
    """Cut each look-up's units by who touched them last.

    A touch covers a prompt from its beginning, so of an earlier one only an end is left: each
    node needs a pile of such ends. With `reads_only`, what a look-up writes behind its prompt is
    no use of an earlier copy, so it counts as touched by nobody.
    """
    piles: dict[int, list[list[int]]] = {}  # node -> [end, toucher], the beginning on top
    cut: list[list[Run]] = []
    for index, lookup in enumerate(lookups):
        runs: list[Run] = []
        read = lookup.tokens // unit_tokens
        for node, lo, hi in spans(lookup.path, unit_tokens, 0, lookup.kept_tokens // unit_tokens):
            pile = piles.setdefault(node, [])
            position = lo
            while pile and position < hi:
                end, toucher = pile[-1]
                length = min(end, hi) - position
                if runs and runs[-1][1] == toucher:
                    runs[-1] = (runs[-1][0] + length, toucher)
                else:
                    runs.append((length, toucher))
                position += length
                if end > hi:
                    break
                pile.pop()
            if position < hi:
                length = hi - position
                if runs and runs[-1][1] == NOBODY:
                    runs[-1] = (runs[-1][0] + length, NOBODY)
                else:
                    runs.append((length, NOBODY))
            if reads_only and read < hi:
                pile.append([hi, NOBODY])
                if read > lo:
                    pile.append([read, index])
            else:
                pile.append([hi, index])
        cut.append(runs)
    return cut


class _Stack:
    """The LRU stack by touching look-up: how many units each still holds (a Fenwick tree)."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._tree = [0] * (size + 1)
        self._total = 0

    def add(self, index: int, units: int) -> None:
        self._total += units
        index += 1
        while index <= self._size:
            self._tree[index] += units
            index += index & -index

    def above(self, index: int) -> int:
        """Count the units last touched by look-ups after this one."""
        index += 1
        below = 0
        while index > 0:
            below += self._tree[index]
            index -= index & -index
        return self._total - below


def knee(capacities: Sequence[float], rates: Sequence[float]) -> int | None:
    """Find the point that lies furthest above the line from the first to the last point.

    Beyond it more capacity brings less than it does on average. None where no point is above.
    """
    if len(capacities) < 3:
        return None
    x = np.asarray(capacities, dtype=float)
    y = np.asarray(rates, dtype=float)
    width, height = x[-1] - x[0], y[-1] - y[0]
    if width <= 0 or height <= 0:
        return None
    rise = (y - y[0]) / height - (x - x[0]) / width
    best = int(np.argmax(rise))
    return best if rise[best] > 1e-9 else None
