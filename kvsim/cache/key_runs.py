"""A set of keys that only grows, in runs: a session's chunks are one entry, however many."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from kvsim.cache.keys import Keys, node_of


class KeyRuns:
    """Keep keys as ascending, disjoint runs `[lo, hi)` of each node."""

    def __init__(self) -> None:
        self._by_node: dict[int, list[range]] = {}
        self._num_keys = 0

    def __len__(self) -> int:
        return self._num_keys

    def __iter__(self) -> Iterator[int]:
        for runs in self._by_node.values():
            for run in runs:
                yield from run

    def add(self, keys: range) -> None:
        """Add consecutive keys of one node; some may be there already."""
        start, stop = keys.start, keys.stop
        node = node_of(start)
        runs = self._by_node.get(node)
        if runs is None:
            self._by_node[node] = [keys]
            self._num_keys += stop - start
            return
        last = runs[-1]
        last_stop = last.stop
        if last.start <= start <= last_stop:  # so a session grows, mostly
            if stop > last_stop:
                runs[-1] = range(last.start, stop)
                self._num_keys += stop - last_stop
            return
        first = bisect_left(runs, start, key=_stop)
        after = bisect_right(runs, stop, lo=first, key=_start)
        touched = runs[first:after]
        if touched:
            keys = range(min(start, touched[0].start), max(stop, touched[-1].stop))
            self._num_keys -= sum(map(len, touched))
        runs[first:after] = [keys]
        self._num_keys += len(keys)

    def prefix(self, keys: Keys) -> int:
        """Count the leading keys that are here."""
        count = 0
        for run in keys:
            there = 0
            for mine in self._by_node.get(node_of(run.start), ()):
                if run.start in mine:
                    there = min(mine.stop, run.stop) - run.start
                    break
            count += there
            if there < len(run):
                break
        return count

    def common(self, keys: range) -> int:
        """Count those of some consecutive keys of one node that are here."""
        count = 0
        for mine in self._by_node.get(node_of(keys.start), ()):
            count += max(0, min(mine.stop, keys.stop) - max(mine.start, keys.start))
        return count


def _start(run: range) -> int:
    return run.start


def _stop(run: range) -> int:
    return run.stop
