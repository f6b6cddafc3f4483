"""The KV blocks of one GPU, one by one: vLLM's rules in the form that `gpu_pool` must equal."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from kvsim.cache.keys import Path, spans

BlockHash = tuple[int, int]


class BlockPool:
    """Keep every block by number, with vLLM's free list and hash table; verbs as `GpuPool`."""

    def __init__(self, num_blocks: int, block_tokens: int) -> None:
        self.num_blocks = num_blocks
        self.block_tokens = block_tokens
        self.evicted_blocks = 0
        self._list: OrderedDict[int, None] = OrderedDict(
            (block, None) for block in range(num_blocks)
        )
        self._refs = [0] * num_blocks
        self._hash: list[BlockHash | None] = [None] * num_blocks
        self._by_hash: dict[BlockHash, list[int]] = {}
        self._held: dict[int, list[int]] = {}

    @property
    def free_blocks(self) -> int:
        return len(self._list)

    @property
    def used_blocks(self) -> int:
        return self.num_blocks - sum(1 for block in self._list if self._hash[block] is None)

    def _hashes(self, path: Path, lo: int, hi: int) -> list[BlockHash]:
        return [
            (node, i)
            for node, start, end in spans(path, self.block_tokens, lo, hi)
            for i in range(start, end)
        ]

    def lookup(self, path: Path, max_blocks: int) -> int:
        hits = 0
        for block_hash in self._hashes(path, 0, max_blocks):
            if block_hash not in self._by_hash:
                break
            hits += 1
        return hits

    def idle_hits(self, path: Path, num_blocks: int) -> int:
        return sum(self._refs[self._by_hash[h][0]] == 0 for h in self._hashes(path, 0, num_blocks))

    def admit(
        self, request_id: int, path: Path, hit_blocks: int, num_tokens: int, full_tokens: int
    ) -> bool:
        full_blocks = -(-max(full_tokens, num_tokens) // self.block_tokens)
        if full_blocks - hit_blocks + self.idle_hits(path, hit_blocks) > self.free_blocks:
            return False
        blocks = [self._by_hash[h][0] for h in self._hashes(path, 0, hit_blocks)]
        for block in blocks:
            self._list.pop(block, None)
            self._refs[block] += 1
        self._held[request_id] = blocks
        self._take(request_id, -(-num_tokens // self.block_tokens) - hit_blocks)
        return True

    def grow(self, request_id: int, num_tokens: int) -> bool:
        lacking = self.lacking(request_id, num_tokens)
        if lacking > self.free_blocks:
            return False
        self._take(request_id, lacking)
        return True

    def lacking(self, request_id: int, num_tokens: int) -> int:
        return max(0, -(-num_tokens // self.block_tokens) - len(self._held[request_id]))

    def commit(self, request_id: int, path: Path, num_tokens: int) -> None:
        blocks = self._held[request_id]
        for block, block_hash in zip(
            blocks, self._hashes(path, 0, num_tokens // self.block_tokens), strict=False
        ):
            if self._hash[block] is None:
                self._hash[block] = block_hash
                self._by_hash.setdefault(block_hash, []).append(block)

    def free(self, request_id: int) -> None:
        blank: list[int] = []
        for block in reversed(self._held.pop(request_id)):
            self._refs[block] -= 1
            if self._refs[block] == 0:
                if self._hash[block] is None:
                    blank.append(block)
                else:
                    self._list[block] = None
        for block in reversed(blank):
            self._list[block] = None
            self._list.move_to_end(block, last=False)

    def hits(self) -> Iterator[tuple[int, int]]:
        yield from self._by_hash

    def _take(self, request_id: int, num_blocks: int) -> None:
        for _ in range(num_blocks):
            block, _ = self._list.popitem(last=False)
            block_hash = self._hash[block]
            if block_hash is not None:
                self.evicted_blocks += 1
                same = self._by_hash[block_hash]
                same.remove(block)
                if not same:
                    del self._by_hash[block_hash]
                self._hash[block] = None
            self._refs[block] = 1
            self._held[request_id].append(block)
