"""The KV blocks of one GPU, as vLLM V1 keeps them, in extents.

vLLM's rules (block_pool.py): full blocks are hashed when the step that fills
them is scheduled; freed blocks stay hits until they are taken; the free list is taken from its
head; a request frees its blocks from the last to the first, those without a hash to the head of
the list, the others to its end; a hit leaves the free list. Blocks with equal hashes that were
computed separately are both kept, the older one is the hit.

Here a *run* stands for consecutive blocks of one text node that share their fate, so that one
operation serves a whole session's prefix. `block_oracle.BlockPool` keeps block by block; both give
the same answers (tests/laws). Left out: block numbers, which nothing outside depends on.
"""

from __future__ import annotations

from collections.abc import Iterator

from kvsim.cache.keys import Path, spans

_ALONE = -1
"""Holds the blocks of a request that is served at once."""


class Run:
    """Blocks `[lo, hi)` of a node; in the free list, last block first, while nobody holds them."""

    __slots__ = ("copy", "hi", "lo", "next", "node", "prev", "refs")

    def __init__(self, node: int, lo: int, hi: int, *, refs: int, copy: bool = False) -> None:
        self.node = node
        self.lo = lo
        self.hi = hi
        self.refs = refs
        self.copy = copy
        self.prev: Run  # from when it is in the free list
        self.next: Run


class _Holding:
    """What one request holds: runs in prompt order, and how many blocks, hashed and in all."""

    __slots__ = ("hashed", "runs", "total")

    def __init__(self, runs: list[Run], hashed: int) -> None:
        self.runs = runs
        self.hashed = hashed
        self.total = hashed


class GpuPool:
    """Hold `num_blocks` blocks of `block_tokens` tokens, vLLM's null block not counted."""

    def __init__(self, num_blocks: int, block_tokens: int) -> None:
        self.num_blocks = num_blocks
        self.block_tokens = block_tokens
        self.evicted_blocks = 0
        self._blank = num_blocks  # free blocks without a hash: always at the head of the list
        self._idle = 0  # free blocks that are still hits
        self._list = end = Run(-1, 0, 0, refs=1)  # sentinel of the free list: next = head
        end.prev = end.next = end
        self._cached: dict[int, list[Run]] = {}  # the hit of each hash, by node, ascending
        self._copies: dict[int, list[Run]] = {}  # later blocks with the same hash, oldest first
        self._held: dict[int, _Holding] = {}

    @property
    def free_blocks(self) -> int:
        """Count the blocks that may be taken, hits among them."""
        return self._blank + self._idle

    @property
    def used_blocks(self) -> int:
        """Count the blocks that requests hold or that are still hits."""
        return self.num_blocks - self._blank

    def lookup(self, path: Path, max_blocks: int) -> int:
        """Count the leading blocks of a prompt, at most `max_blocks`, that are hits."""
        position = 0
        for node, lo, hi in spans(path, self.block_tokens, 0, max_blocks):
            position = lo
            for run in self._cached.get(node, ()):
                if run.lo <= position < run.hi:
                    position = run.hi
                    if position >= hi:
                        break
                elif run.lo > position:
                    break
            if position < hi:
                return position
            position = hi
        return position

    def idle_hits(self, path: Path, num_blocks: int) -> int:
        """Count the hits among the first `num_blocks` that lie in the free list: they use room."""
        idle = 0
        for node, lo, hi in spans(path, self.block_tokens, 0, num_blocks):
            for run in self._cached[node]:
                if run.lo >= hi:
                    break
                if run.refs == 0 and run.hi > lo:
                    idle += min(run.hi, hi) - max(run.lo, lo)
        return idle

    def admit(
        self, request_id: int, path: Path, hit_blocks: int, num_tokens: int, full_tokens: int
    ) -> bool:
        """Give a request its hit blocks and new ones up to `num_tokens`.

        Or nothing, unless all its `full_tokens` would fit now.
        """
        size = self.block_tokens
        full_blocks = -(-max(full_tokens, num_tokens) // size)
        idle_hits = self.idle_hits(path, hit_blocks) if hit_blocks else 0
        if full_blocks - hit_blocks + idle_hits > self._blank + self._idle:
            return False
        holding = _Holding(self._touch(path, hit_blocks) if hit_blocks else [], hit_blocks)
        new_blocks = -(-num_tokens // size) - hit_blocks
        self._take(new_blocks)
        holding.total += new_blocks
        self._held[request_id] = holding
        return True

    def grow(self, request_id: int, num_tokens: int) -> bool:
        """Give a request the blocks it lacks for `num_tokens`, or none if so many are not free."""
        holding = self._held[request_id]
        lacking = -(-num_tokens // self.block_tokens) - holding.total
        if lacking > 0:
            if lacking > self._blank + self._idle:
                return False
            self._take(lacking)
            holding.total += lacking
        return True

    def lacking(self, request_id: int, num_tokens: int) -> int:
        """Count the blocks a request lacks for `num_tokens`."""
        return max(0, -(-num_tokens // self.block_tokens) - self._held[request_id].total)

    def commit(self, request_id: int, path: Path, num_tokens: int) -> None:
        """Hash a request's full blocks up to `num_tokens`: from now on they are hits."""
        holding = self._held[request_id]
        blocks = num_tokens // self.block_tokens
        if blocks <= holding.hashed:
            return
        last = holding.runs[-1] if holding.runs else None
        if (
            last is not None
            and last.node == path[-1][0]
            and last.hi == holding.hashed
            and last.refs == 1
            and self._cached[last.node][-1] is last
        ):
            last.hi = holding.hashed = blocks  # a session's own text goes on, as mostly
            return
        for node, lo, hi in spans(path, self.block_tokens, holding.hashed, blocks):
            runs = self._cached.setdefault(node, [])
            if (
                last is not None
                and last.node == node
                and last.hi == lo
                and last.refs == 1
                and runs
                and runs[-1] is last
            ):
                last.hi = hi
            elif not runs or runs[-1].hi <= lo:
                run = Run(node, lo, hi, refs=1)
                runs.append(run)
                holding.runs.append(run)
            else:
                self._commit_beside(holding, runs, node, lo, hi)
            last = holding.runs[-1]
        holding.hashed = blocks

    def free(self, request_id: int) -> None:
        """Take back a request's blocks, last block first; hashed ones remain hits."""
        holding = self._held.pop(request_id)
        self._blank += holding.total - holding.hashed
        for run in reversed(holding.runs):
            run.refs -= 1
            if run.refs == 0:
                self._append(run)

    def serve(self, path: Path, most_blocks: int, num_tokens: int) -> int:
        """Look up, admit, commit and free in one; return the hit blocks, at most `most_blocks`.

        For requests that are served at once: nobody holds blocks before or after.
        """
        full_blocks, rest = divmod(num_tokens, self.block_tokens)
        parts = spans(path, self.block_tokens, 0, full_blocks)
        hits, known = self._leading(parts)
        if hits > most_blocks or known < 0:
            return self._serve_in_steps(path, most_blocks, num_tokens)
        num_blocks = full_blocks + (rest > 0)
        if num_blocks > self.num_blocks:
            return hits
        kept = [self._lift(node, lo, min(hi, hits)) for node, lo, hi in parts[:known]]
        self._idle -= hits
        self._take(num_blocks - hits)
        for node, lo, hi in parts[known:]:
            kept.append(Run(node, lo, hi, refs=0))
            self._cached[node] = [kept[-1]]
        if known:
            kept[known - 1].hi = parts[known - 1][2]  # its text goes on where the hits end
        self._idle += full_blocks
        self._blank += num_blocks - full_blocks
        for run in reversed(kept):
            self._insert_before(self._list, run)
        return hits

    def _serve_in_steps(self, path: Path, most_blocks: int, num_tokens: int) -> int:
        hits = self.lookup(path, most_blocks)
        if self.admit(_ALONE, path, hits, num_tokens, num_tokens):
            self.commit(_ALONE, path, num_tokens)
            self.free(_ALONE)
        return hits

    def _leading(self, parts: list[tuple[int, int, int]]) -> tuple[int, int]:
        """Count the leading blocks that are hits, and the parts that they lie in.

        The second count is -1 if further blocks of the prompt are hits, behind a gap.
        """
        hits = known = 0
        for node, lo, hi in parts:
            runs = self._cached.get(node)
            if not runs:
                break
            hits = lo
            for run in runs:
                if run.lo != hits:
                    break
                hits = run.hi
                if hits >= hi:
                    break
            if hits == lo:
                return hits, -1
            known += 1
            if hits < hi:
                if runs[-1].hi > hits:
                    return hits, -1
                break
            hits = hi
        gap = any(self._cached.get(node) for node, _, _ in parts[known:])
        return hits, -1 if gap else known

    def _lift(self, node: int, lo: int, hi: int) -> Run:
        """Take a node's leading blocks, free hits, off the free list as one run."""
        runs = self._cached[node]
        first = runs[0]
        if first.hi > hi:
            first.lo = hi  # what lies above stays where it is
            first = Run(node, lo, hi, refs=0)
            runs.insert(0, first)
            return first
        self._unlink(first)
        while first.hi < hi:
            following = runs[1]
            if following.hi > hi:
                following.lo = first.hi = hi
            else:
                first.hi = following.hi
                self._unlink(following)
                del runs[1]
        return first

    def hits(self) -> Iterator[tuple[int, int]]:
        """Yield `(node, block)` of every hit (for the laws; slow)."""
        for node, runs in self._cached.items():
            for run in runs:
                for block in range(run.lo, run.hi):
                    yield node, block

    def _touch(self, path: Path, num_blocks: int) -> list[Run]:
        touched: list[Run] = []
        for node, lo, hi in spans(path, self.block_tokens, 0, num_blocks):
            runs = self._cached[node]
            index = 0
            while index < len(runs) and runs[index].lo < hi:
                run = runs[index]
                index += 1
                if run.hi <= lo:
                    continue
                if run.hi > hi:
                    self._split(run, hi, runs)
                if run.refs == 0:
                    self._unlink(run)
                    self._idle -= run.hi - run.lo
                run.refs += 1
                touched.append(run)
        return touched

    def _take(self, num_blocks: int) -> None:
        if num_blocks <= self._blank:
            self._blank -= num_blocks
            return
        num_blocks -= self._blank
        self._blank = 0
        head, cached, copies = self._list, self._cached, self._copies
        while num_blocks > 0:
            run = head.next
            size = run.hi - run.lo
            if size > num_blocks or run.copy or run.node in copies:
                size = min(size, num_blocks)
                self._drop(run, size)
            else:  # most go whole and were the only one of their node
                runs = cached[run.node]
                if len(runs) == 1:
                    del cached[run.node]
                else:
                    runs.remove(run)
                following = head.next = run.next
                following.prev = head
                self._idle -= size
                self.evicted_blocks += size
            num_blocks -= size

    def _drop(self, run: Run, num_blocks: int) -> None:
        run.hi -= num_blocks
        self._idle -= num_blocks
        self.evicted_blocks += num_blocks
        if run.hi == run.lo:
            self._unlink(run)
            self._layer(run).remove(run)
        if not run.copy and run.node in self._copies:
            self._promote(run.node, run.hi, run.hi + num_blocks)

    def _layer(self, run: Run) -> list[Run]:
        return self._copies[run.node] if run.copy else self._cached[run.node]

    def _append(self, run: Run) -> None:
        self._idle += run.hi - run.lo
        end = self._list.prev
        if end.node == run.node and end.lo == run.hi and not end.copy and not run.copy:
            end.lo = run.lo  # taken right after it, last block first: one run again
            self._cached[run.node].remove(run)
            return
        self._insert_before(self._list, run)

    def _insert_before(self, place: Run, run: Run) -> None:
        run.prev, run.next = place.prev, place
        place.prev.next = run
        place.prev = run

    def _unlink(self, run: Run) -> None:
        run.prev.next = run.next
        run.next.prev = run.prev

    def _split(self, run: Run, at: int, layer: list[Run]) -> Run:
        """Part a run at `at` wherever it is listed, and return the upper part."""
        upper = Run(run.node, at, run.hi, refs=run.refs, copy=run.copy)
        run.hi = at
        layer.insert(layer.index(run) + 1, upper)
        if run.refs == 0:
            self._insert_before(run, upper)
        else:
            for holding in self._held.values():
                if run in holding.runs:
                    holding.runs.insert(holding.runs.index(run) + 1, upper)
        return upper

    def _commit_beside(
        self, holding: _Holding, runs: list[Run], node: int, lo: int, hi: int
    ) -> None:
        """Hash blocks some of which are hits: those become copies, the others fill the gaps."""
        position = lo
        for other in [*runs, None]:
            gap_end = min(hi, other.lo) if other is not None else hi
            if gap_end > position:
                run = Run(node, position, gap_end, refs=1)
                runs.append(run)
                holding.runs.append(run)
                position = gap_end
            if other is None or position >= hi:
                break
            if other.hi > position:
                copy = Run(node, position, min(hi, other.hi), refs=1, copy=True)
                self._copies.setdefault(node, []).append(copy)
                holding.runs.append(copy)
                position = copy.hi
        runs.sort(key=lambda run: run.lo)

    def _promote(self, node: int, lo: int, hi: int) -> None:
        """Make the oldest copy of each dropped block the hit."""
        copies = self._copies[node]
        for position in range(lo, hi):
            run = next((copy for copy in copies if copy.lo <= position < copy.hi), None)
            if run is None:
                continue
            if run.lo < position:
                run = self._split(run, position, copies)
            if run.hi > position + 1:
                self._split(run, position + 1, copies)
            copies.remove(run)
            run.copy = False
            self._cached[node].append(run)
        self._cached[node].sort(key=lambda cached: cached.lo)
        if not copies:
            del self._copies[node]
