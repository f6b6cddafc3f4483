"""What one engine does next, as bookkeeping without a clock.

Follows vLLM V1's scheduler: running requests first, in admission order, then waiting ones while
tokens, blocks and places last; chunked prefill; the whole prompt must fit at admission; the head
of the line blocks those behind it; preemption by recompute, youngest first. With async scheduling
a step is planned while the one before it runs, so the last sampled token may be a placeholder.
Under the policy priority the line is in the order of priority, arrival and number, and the last of
the running in this order is preempted, be it already in the step that is planned.
Left out: speculative decoding, LoRA, encoder inputs.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from typing import Protocol

from kvsim.cache.keys import Path, shared_tokens
from kvsim.engine.connectors.base import Connector
from kvsim.engine.sequence import Sequence, Step


class BlockBook(Protocol):
    """What the scheduler asks of the GPU's block pool (`GpuPool`, and its oracle `BlockPool`)."""

    block_tokens: int
    num_blocks: int
    evicted_blocks: int

    @property
    def free_blocks(self) -> int: ...
    @property
    def used_blocks(self) -> int: ...
    def lookup(self, path: Path, max_blocks: int) -> int: ...
    def admit(
        self, request_id: int, path: Path, hit_blocks: int, num_tokens: int, full_tokens: int
    ) -> bool: ...
    def grow(self, request_id: int, num_tokens: int) -> bool: ...
    def lacking(self, request_id: int, num_tokens: int) -> int: ...
    def commit(self, request_id: int, path: Path, num_tokens: int) -> None: ...
    def free(self, request_id: int) -> None: ...


class Scheduler:
    """Plan the steps of one engine over its waiting and running requests."""

    def __init__(
        self,
        pool: BlockBook,
        connector: Connector,
        *,
        max_num_batched_tokens: int,
        max_num_seqs: int,
        prefix_caching: bool = True,
        by_priority: bool = False,
    ) -> None:
        self.pool = pool
        self.connector = connector
        self.max_num_batched_tokens = max_num_batched_tokens
        self.max_num_seqs = max_num_seqs
        self.prefix_caching = prefix_caching
        self.by_priority = by_priority
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.line_blocked = False
        """The head of the line did not fit when last tried, and cannot before blocks are freed."""

    @property
    def has_requests(self) -> bool:
        """Say whether any request is waiting or running."""
        return bool(self.running or self.waiting)

    def add(self, sequence: Sequence) -> None:
        """Queue a request that arrived."""
        if not self.by_priority:
            self.waiting.append(sequence)
            return
        insort(self.waiting, sequence, key=_rank)
        if self.waiting[0] is sequence:
            self.line_blocked = False  # another head of the line

    def schedule(self) -> Step:
        """Plan the next step and charge it at once, as vLLM does: `num_computed` moves on."""
        step = Step()
        budget = self._schedule_running(step, self.max_num_batched_tokens)
        if budget >= 0:
            self._admit(step, budget)
        step.host_s = self.connector.take_host_s()
        return step

    def _schedule_running(self, step: Step, budget: int) -> int:
        """Give running requests their tokens; return the budget left, or -1 after a preemption."""
        preempted = False
        running = self.running
        block_tokens = self.pool.block_tokens
        before: dict[int, int] | None = {} if self.by_priority else None
        index = 0
        while index < len(running) and budget > 0:
            sequence = running[index]
            index += 1
            computed = sequence.num_computed
            if (
                sequence.placeholders
                and computed + 2 - sequence.placeholders
                >= sequence.prompt_tokens + sequence.max_tokens
            ):
                continue  # its last token is in flight
            if before is not None:
                before[sequence.request_id] = computed
            if (
                sequence.placeholders
                and computed >= sequence.prefill_end
                and computed % block_tokens
            ):
                # A decode inside a block: no block to get, none to hash.
                budget -= 1
                step.decodes += 1
                step.context_tokens += computed
                step.sampled.append(sequence)
                sequence.placeholders += 1
                sequence.num_computed = computed + 1
                if computed + 1 >= sequence.store_at:
                    step.stores.append(sequence)
                continue
            n = min(sequence.num_tokens + sequence.placeholders - computed, budget)
            while not self.pool.grow(sequence.request_id, computed + n):
                place = len(running) - 1
                if before is not None:
                    place = max(range(len(running)), key=lambda i: _rank(running[i]))
                victim = running.pop(place)
                if before is not None and place < index - 1:
                    index -= 1
                    if victim.request_id in before:
                        budget += _take_back(step, victim, before[victim.request_id])
                self._preempt(victim)
                preempted = True
                if victim is sequence:
                    return -1
            budget -= n
            self._charge(step, sequence, n)
        return -1 if preempted else budget

    def _admit(self, step: Step, budget: int) -> None:
        if self.line_blocked:
            return
        while self.waiting and budget > 0 and len(self.running) < self.max_num_seqs:
            sequence = self.waiting[0]
            num_tokens = sequence.num_tokens
            hit_blocks = 0
            if self.prefix_caching:
                hit_blocks = self.pool.lookup(
                    sequence.path, (num_tokens - 1) // self.pool.block_tokens
                )
            local_tokens = hit_blocks * self.pool.block_tokens
            external_tokens = self.connector.match(sequence, local_tokens)
            computed = local_tokens + external_tokens
            n = min(num_tokens - computed, budget)
            if not self.pool.admit(
                sequence.request_id, sequence.path, hit_blocks, computed + n, num_tokens
            ):
                self.line_blocked = not self._may_become_hits(sequence.path)
                break
            self.waiting.popleft()
            self.running.append(sequence)
            sequence.num_computed = computed
            sequence.local_tokens = local_tokens
            sequence.external_tokens = external_tokens
            sequence.prefill_end = num_tokens
            load = self.connector.allocated(sequence, local_tokens, external_tokens)
            if load is not None:
                step.loads.append(load)
            step.admitted.append(sequence)
            budget -= n
            self._charge(step, sequence, n)

    def _may_become_hits(self, path: Path) -> bool:
        """Say whether a running request may still hash blocks that a waiting prompt begins with.

        It holds the block that it fills: one hit more, and no free block less.
        """
        first_node = path[0][0]
        return any(
            sequence.path[0][0] == first_node  # spares most of the comparisons
            and shared_tokens(sequence.path, path) > sequence.num_computed - _KNOWN_LATER
            for sequence in self.running
        )

    def _charge(self, step: Step, sequence: Sequence, n: int) -> None:
        before = sequence.num_computed
        computed = before + n
        if before < sequence.prefill_end:
            step.chunks.append((before, n))
        else:
            step.decodes += 1
            step.context_tokens += before
        sequence.num_computed = computed
        if self.prefix_caching:
            self.pool.commit(sequence.request_id, sequence.path, min(computed, sequence.num_tokens))
        if computed == sequence.num_tokens + sequence.placeholders:
            sequence.placeholders += 1
            step.sampled.append(sequence)
        if computed >= sequence.store_at:
            step.stores.append(sequence)

    def _preempt(self, victim: Sequence) -> None:
        self.pool.free(victim.request_id)
        self.connector.preempted(victim)
        victim.num_computed = 0
        victim.request.preemptions += 1
        if self.by_priority:
            insort(self.waiting, victim, key=_rank)
        else:
            self.waiting.appendleft(victim)
        self.line_blocked = False

    def update(self, step: Step) -> list[Sequence]:
        """Take over the tokens that a step sampled; free and return the requests it ended."""
        finished: list[Sequence] = []
        for sequence in step.sampled:
            sequence.num_output += 1
            sequence.num_tokens += 1
            sequence.placeholders -= 1
            if sequence.num_output < sequence.max_tokens:
                continue
            finished.append(sequence)
            if sequence in self.running:
                if self.prefix_caching:
                    known = min(sequence.num_computed, sequence.num_tokens)
                    self.pool.commit(sequence.request_id, sequence.path, known)
                self._leave(sequence)
            else:
                self.waiting.remove(sequence)  # preempted with its last token in flight
                self.line_blocked = False
        return finished

    def abort(self, sequence: Sequence) -> None:
        """Drop a running request whose KV could not be loaded; its blocks go free."""
        self._leave(sequence)

    def _leave(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self.pool.free(sequence.request_id)
        self.line_blocked = False

    def runway(self, in_flight: Step) -> int:
        """Count the steps ahead that only decode the running requests, given the step in flight.

        Within them nobody joins, ends, stores or is preempted, and each request gains a token a
        step. A blocked head of the line stays blocked.
        """
        running = self.running
        if not running or len(in_flight.sampled) != len(running):
            return 0
        if self.waiting and not self.line_blocked and len(running) < self.max_num_seqs:
            return 0
        steps = NO_LIMIT
        for sequence in running:
            if not sequence.placeholders or sequence.num_computed < sequence.prefill_end:
                return 0
            left = sequence.max_tokens - sequence.num_output - sequence.placeholders
            until_store = sequence.store_at - sequence.num_computed - 1
            if left < steps:
                steps = left
            if until_store < steps:
                steps = until_store
        if len(running) > self.max_num_batched_tokens:
            return 0
        return self._that_fit(steps)

    def _that_fit(self, steps: int) -> int:
        """Cut `steps` to what the free blocks allow."""
        most = len(self.running) * (steps // self.pool.block_tokens + 1)
        if most <= self.pool.free_blocks:
            return max(steps, 0)
        low, high = 0, max(steps, 0)
        while low < high:
            middle = high if low == 0 and high == steps else (low + high + 1) // 2
            lacking = sum(
                self.pool.lacking(sequence.request_id, sequence.num_computed + middle)
                for sequence in self.running
            )
            if lacking <= self.pool.free_blocks:
                low = middle
            else:
                high = middle - 1
        return low

    def advance(self, steps: int) -> None:
        """Take `steps` steps of the runway at once."""
        for sequence in self.running:
            sequence.num_computed += steps
            sequence.num_output += steps
            sequence.num_tokens += steps
            grown = self.pool.grow(sequence.request_id, sequence.num_computed)
            assert grown, "runway longer than the free blocks"
            if self.prefix_caching:
                # The newest token is known, but its KV belongs to the step in flight.
                self.pool.commit(sequence.request_id, sequence.path, sequence.num_tokens - 1)


def _take_back(step: Step, victim: Sequence, before: int) -> int:
    """Take a request out of a step that is being planned; return the tokens that it had there."""
    n = victim.num_computed - before
    if before < victim.prefill_end:
        step.chunks.remove((before, n))
    else:
        step.decodes -= 1
        step.context_tokens -= before
    if victim in step.sampled:
        step.sampled.remove(victim)
        victim.placeholders -= 1
    if victim in step.stores:
        step.stores.remove(victim)
    return n


def _rank(sequence: Sequence) -> tuple[int, float, int]:
    """Give a request's place under the policy priority: the least is served first."""
    request = sequence.request
    return request.priority, request.arrival_s, request.request_id


NO_LIMIT = 1 << 60
_KNOWN_LATER = 2
"""Steps in flight: so many tokens of a request may be computed and not yet known."""
