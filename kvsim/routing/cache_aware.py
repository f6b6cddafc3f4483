"""Routers that send a prompt to where its beginning is, or is thought to be.

`prefix_aware` is production-stack's `prefixaware`, `kv_aware` its `kvaware` with LMCache's
controller, `llm_d` the default scorers of llm-d's endpoint picker. None of them knows what the
shared store holds; the first and the last do not know what an instance has lost.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np

from kvsim.cache.keys import leading, spans, unit_keys
from kvsim.spec.routing import RoutingSpec
from kvsim.workload.chance import stream
from kvsim.workload.request import Request

_PIECE_TOKENS = 32
"""Tokens of production-stack's pieces of 128 characters, at four characters a token."""
_BLOCK_TOKENS = 16
_MOST_TOKENS = 131_072
_BLOCKS_PER_INSTANCE = 31_250
_QUEUE_WEIGHT, _MEMORY_WEIGHT, _PREFIX_WEIGHT = 2.0, 2.0, 3.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What routers see besides the requests."""

    now: Callable[[], float] = float
    pool_tokens: int = 1
    """Tokens of KV that fit the GPUs of one instance."""
    cpu_tokens: Callable[[int, Request], int] = lambda instance, request: 0
    """Leading prompt tokens that an instance's CPU tier has."""


class PrefixAware:
    """Take any instance that was sent the longest known beginning of the prompt.

    production-stack keeps a trie over pieces of 128 characters and never forgets. A new user who
    shares the system text goes to any instance that ever served it; a prompt that nobody knows
    goes anywhere. Load is not looked at. A last, shorter piece does not count here.
    """

    def __init__(self, instances: int, seed: int) -> None:
        self._sent: list[dict[int, int]] = [{} for _ in range(instances)]  # pieces, by text
        self._rng = stream(seed, "router")

    def route(self, request: Request) -> int:
        pieces = request.prompt_tokens // _PIECE_TOKENS
        parts = spans(request.path, _PIECE_TOKENS, 0, pieces)
        known = [_known(parts, sent) for sent in self._sent]
        chosen = _any_of_the_best(known, self._rng)
        mine = self._sent[chosen]
        for node, _, hi in parts:
            mine[node] = max(hi, mine.get(node, 0))
        return chosen

    def ended(self, request: Request) -> None:
        """Ignore it: the trie does not look at load."""


def _known(parts: Sequence[tuple[int, int, int]], sent: dict[int, int]) -> int:
    """Count the leading pieces that were sent."""
    count = 0
    for node, lo, hi in parts:
        end = sent.get(node, 0)
        if end < hi:
            return max(lo, end)
        count = hi
    return count


def _any_of_the_best(scores: Sequence[float], rng: np.random.Generator) -> int:
    best = max(scores)
    equals = [i for i, score in enumerate(scores) if score == best]
    return equals[int(rng.integers(len(equals)))] if len(equals) > 1 else equals[0]


class KvAware:
    """Take the instance whose CPU tier has most of the prompt, if it has nearly all; else ask on.

    LMCache's controller knows the chunks in CPU memory. The match counts only if at most
    `kv_aware_threshold` tokens are missing; else the session decides. production-stack looks at the
    field `prompt` only: chat requests look empty and always go by session (`kv_aware_chat`).
    """

    def __init__(
        self,
        otherwise: Callable[[Request], int],
        instances: int,
        spec: RoutingSpec,
        around: Surroundings,
    ) -> None:
        self._otherwise = otherwise
        self._instances = instances
        self._spec = spec
        self._around = around

    def route(self, request: Request) -> int:
        if self._spec.kv_aware_chat:
            return self._otherwise(request)
        found = [self._around.cpu_tokens(i, request) for i in range(self._instances)]
        best = max(found)
        if not best or best < request.prompt_tokens - self._spec.kv_aware_threshold:
            return self._otherwise(request)
        return found.index(best)

    def ended(self, request: Request) -> None:
        """Ignore it: the controller does not look at load."""


class LlmD:
    """Take the best sum of three scores: short queue, free KV memory, known prefix.

    Queue and memory are the instances' metrics as they stood when last read: the queue is scored
    between the longest and the shortest, memory by its free part (prompts of running requests
    count, their answers do not). The prefix score is the part of the prompt's 16-token blocks that
    were sent to the instance lately: an index of 31,250 blocks an instance, in the order in which
    they were sent, so that beginnings are forgotten before ends. Equal sums: any of them.
    """

    def __init__(self, instances: int, seed: int, spec: RoutingSpec, around: Surroundings) -> None:
        self._interval_s = spec.metrics_interval
        self._around = around
        self._rng = stream(seed, "router")
        self._index: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(instances)]
        self._waiting: list[deque[Request]] = [deque() for _ in range(instances)]
        self._running: list[dict[int, int]] = [{} for _ in range(instances)]
        self._running_tokens = [0] * instances

    def route(self, request: Request) -> int:
        now_s = self._around.now()
        read_s = floor(now_s / self._interval_s) * self._interval_s
        queues = [self._queue(i, read_s) for i in range(len(self._index))]
        shortest, longest = min(queues), max(queues)
        blocks = min(request.prompt_tokens, _MOST_TOKENS) // _BLOCK_TOKENS
        keys = unit_keys(request.path, _BLOCK_TOKENS, 0, blocks)
        scores = []
        for instance, queue in enumerate(queues):
            short = (longest - queue) / (longest - shortest) if longest > shortest else 1.0
            free = 1.0 - min(1.0, self._running_tokens[instance] / self._around.pool_tokens)
            known = leading(keys, self._index[instance]) / blocks if blocks else 0.0
            scores.append(_QUEUE_WEIGHT * short + _MEMORY_WEIGHT * free + _PREFIX_WEIGHT * known)
        chosen = _any_of_the_best(scores, self._rng)
        index = self._index[chosen]
        for run in keys:
            for key in run:
                index[key] = None
                index.move_to_end(key)
        while len(index) > _BLOCKS_PER_INSTANCE:
            index.popitem(last=False)
        self._waiting[chosen].append(request)
        return chosen

    def ended(self, request: Request) -> None:
        assert request.instance is not None, "a stream without an instance"
        tokens = self._running[request.instance].pop(request.request_id, None)
        if tokens is None:
            self._waiting[request.instance].remove(request)
        else:
            self._running_tokens[request.instance] -= tokens

    def _queue(self, instance: int, read_s: float) -> int:
        """Count the requests that the engine had not begun; the ones it has become running."""
        waiting = self._waiting[instance]
        while waiting and not _later(waiting[0].scheduled_s, read_s):
            begun = waiting.popleft()
            self._running[instance][begun.request_id] = begun.prompt_tokens
            self._running_tokens[instance] += begun.prompt_tokens
        coming = 0
        for request in reversed(waiting):
            if not _later(request.engine_s, read_s):
                break
            coming += 1
        return len(waiting) - coming


def _later(when_s: float | None, than_s: float) -> bool:
    return when_s is None or when_s > than_s
