"""Why a prompt token was computed.

For the first time, again because only another instance has it, or again because this one lost it.
An instance computes a text from its start, so one high-water mark a text node and instance tells
what it ever had.
"""

from __future__ import annotations

from kvsim.cache.keys import spans
from kvsim.workload.request import Request


class Ledger:
    """Remember how far each instance ever computed or loaded each text."""

    def __init__(self, instances: int) -> None:
        self._marks: list[dict[int, int]] = [{} for _ in range(instances)]
        self._any: dict[int, int] = {}

    def admit(self, request: Request, instance: int, hit_tokens: int) -> None:
        """Sort a request's computed tokens by cause; its instance now has the whole prompt."""
        mine = self._marks[instance]
        for node, lo, hi in spans(request.path, 1, 0, request.prompt_tokens):
            start = max(lo, hit_tokens)
            if start < hi:
                had = mine.get(node, 0)
                evicted = max(0, min(had, hi) - start)
                elsewhere = max(0, min(self._any.get(node, 0), hi) - max(start, had))
                request.recomputed_evicted_tokens += evicted
                request.recomputed_elsewhere_tokens += elsewhere
            self._raise(mine, node, hi)

    def finish(self, request: Request, instance: int) -> None:
        """Note that the instance has the answer too, but for its last token's KV."""
        end = request.prompt_tokens + request.output_tokens - 1
        for node, _, hi in spans(request.path, 1, request.prompt_tokens, end):
            self._raise(self._marks[instance], node, hi)

    def _raise(self, mine: dict[int, int], node: int, hi: int) -> None:
        if hi > mine.get(node, 0):
            mine[node] = hi
            if hi > self._any.get(node, 0):
                self._any[node] = hi
