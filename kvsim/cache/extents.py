"""The keys of a tier in extents: runs of consecutive keys that were used together.

LMCache touches a found prefix from its last chunk to its first and enters new chunks from first to
last, so in LRU order the chunks of one session lie together, in one of two directions. An extent
stands for such a run: one touch of a prefix is one splice, however long the prefix. It gives up
its keys from the end (after a touch) or from the beginning (as entered).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from itertools import chain, starmap
from operator import attrgetter

from kvsim.cache.key_order import Busy
from kvsim.cache.keys import Keys, node_of

_start = attrgetter("lo")


class _Extent:
    """Keys `[lo, hi)` of one node; `backward` ones go from the last to the first."""

    __slots__ = ("backward", "hi", "lo", "next", "prev")

    def __init__(self, lo: int, hi: int, *, backward: bool) -> None:
        self.lo = lo
        self.hi = hi
        self.backward = backward
        self.prev: _Extent  # from when it is in the list
        self.next: _Extent


class ExtentOrder:
    """Order keys by last use (`moves`) or by entry, in extents; the same as `Lru` and `Fifo`."""

    def __init__(self, *, moves: bool) -> None:
        self._moves = moves
        self._list = end = _Extent(0, 0, backward=False)  # sentinel: next goes first, prev last
        end.prev = end.next = end
        self._by_node: dict[int, list[_Extent]] = {}  # ascending
        self._num_keys = 0

    def __len__(self) -> int:
        return self._num_keys

    def __iter__(self) -> Iterator[int]:
        for extents in self._by_node.values():
            for extent in extents:
                yield from range(extent.lo, extent.hi)

    def prefix(self, keys: Keys) -> int:
        count = 0
        for run in keys:
            start, stop = run.start, run.stop
            position = start
            for extent in self._by_node.get(node_of(start), ()):
                if extent.lo <= position < extent.hi:
                    position = extent.hi
                    if position >= stop:
                        break
                elif extent.lo > position:
                    break
            if position < stop:
                return count + position - start
            count += stop - start
        return count

    def gap_end(self, start: int, stop: int) -> int:
        """Return the first resident key of `[start, stop)`, keys of one node; `stop` if none is."""
        for extent in self._by_node.get(node_of(start), ()):
            if extent.hi > start:
                return max(start, min(extent.lo, stop))
        return stop

    def touch(self, keys: Keys) -> None:
        if not self._moves:
            return
        for run in reversed(keys):
            start, stop = run.start, run.stop
            extents = self._by_node[node_of(start)]
            touched = extents[0]
            if touched.lo == start and touched.hi == stop:  # as mostly
                touched.backward = True
                self._unlink(touched)
            else:
                inside = [e for e in extents if e.lo < stop and e.hi > start]
                self._carve(extents, inside, run)
                touched = _Extent(start, stop, backward=True)
                insort(extents, touched, key=_start)
            self._append(touched)

    def _carve(self, extents: list[_Extent], inside: list[_Extent], run: range) -> None:
        """Take a run out of the extents that cover it, keeping what lies outside in its place."""
        for extent in inside:
            below = (extent.lo, min(extent.hi, run.start))
            above = (max(extent.lo, run.stop), extent.hi)
            kept = [
                _Extent(lo, hi, backward=extent.backward) for lo, hi in (below, above) if lo < hi
            ]
            self._replace(extents, extent, reversed(kept) if extent.backward else kept)

    def insert(self, keys: range) -> list[int]:
        position, stop = keys.start, keys.stop
        extents = self._by_node.setdefault(node_of(position), [])
        if not extents or extents[-1].hi <= position:
            self._enter(extents, position, stop)
            return []
        known: list[int] = []
        for extent in list(extents):
            if extent.hi <= position or extent.lo >= stop:
                continue
            if extent.lo > position:
                self._enter(extents, position, extent.lo)
            end = min(extent.hi, stop)
            known.extend(range(max(extent.lo, position), end))
            position = end
        if position < stop:
            self._enter(extents, position, stop)
        return known

    def _enter(self, extents: list[_Extent], lo: int, hi: int) -> None:
        self._num_keys += hi - lo
        last = self._list.prev
        if (
            last.hi == lo
            and node_of(last.lo) == node_of(lo)
            and last.hi > last.lo
            and (not last.backward or last.hi - last.lo == 1)
        ):
            last.hi = hi
            last.backward = False
            return
        extent = _Extent(lo, hi, backward=False)
        if not extents or extents[-1].hi <= lo:
            extents.append(extent)
        else:
            insort(extents, extent, key=_start)
        self._append(extent)

    def evict(self, n: int, busy: Busy) -> Iterable[int]:
        self._num_keys -= n
        extent = self._list.next
        gone: list[tuple[int, int]] = []
        while n:
            assert extent is not self._list, "evict without so many victims"
            following = extent.next
            lo, hi = extent.lo, extent.hi
            if busy and not busy.isdisjoint(range(lo, hi)):
                around = self._evict_around(extent, n, busy)
                n -= len(around)
                gone.extend((key, key + 1) for key in around)
            elif hi - lo <= n:
                n -= hi - lo
                gone.append((lo, hi))
                following.prev = extent.prev
                extent.prev.next = following
                self._forget(extent)
            elif extent.backward:
                extent.hi -= n
                gone.append((hi - n, hi))
                break
            else:
                extent.lo += n
                gone.append((lo, lo + n))
                break
            extent = following
        return chain.from_iterable(starmap(range, gone))

    def _evict_around(self, extent: _Extent, n: int, busy: Busy) -> list[int]:
        """Drop up to `n` keys of an extent that are not busy; return them."""
        keys = range(extent.lo, extent.hi)
        dropped: list[int] = []
        kept: list[_Extent] = []
        for key in reversed(keys) if extent.backward else keys:
            if len(dropped) < n and key not in busy:
                dropped.append(key)
            elif kept and key == (kept[-1].lo - 1 if extent.backward else kept[-1].hi):
                kept[-1].lo = min(kept[-1].lo, key)
                kept[-1].hi = max(kept[-1].hi, key + 1)
            else:
                kept.append(_Extent(key, key + 1, backward=extent.backward))
        self._replace(self._by_node[node_of(keys.start)], extent, kept)
        return dropped

    def _replace(self, extents: list[_Extent], old: _Extent, parts: Iterable[_Extent]) -> None:
        """Put parts, in the order in which they go, where an extent was."""
        extents.remove(old)
        place = old.next
        self._unlink(old)
        for part in parts:
            insort(extents, part, key=_start)
            self._insert_before(place, part)

    def _forget(self, extent: _Extent) -> None:
        node = node_of(extent.lo)
        extents = self._by_node[node]
        if len(extents) > 1:
            extents.remove(extent)
        else:
            del self._by_node[node]

    def _append(self, extent: _Extent) -> None:
        self._insert_before(self._list, extent)

    @staticmethod
    def _insert_before(place: _Extent, extent: _Extent) -> None:
        extent.prev, extent.next = place.prev, place
        place.prev.next = extent
        place.prev = extent

    @staticmethod
    def _unlink(extent: _Extent) -> None:
        extent.prev.next = extent.next
        extent.next.prev = extent.prev
