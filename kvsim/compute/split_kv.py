"""How evenly decode attention fills a GPU: the waves of FlashAttention 3's split of the KV cache.

The kernel cuts the KV of each decode and KV head into items, all together about one for each
multiprocessor. Before a step it counts the blocks of all sequences, gives an item

    ceil(1.1 * heads * sum(blocks) / multiprocessors)

blocks, and a sequence as many equal items as that takes. What is left over after full waves of
items runs with few multiprocessors; a third of them can draw the whole memory bandwidth. On an H100
with 8 KV heads attention takes 22 % longer so at batch 6 and 9, and at batch 3 and 5 up to 29 %
longer whenever some contexts are longer than the mean by a block: the measured times show both
(docs/fit.md). Rule: FlashAttention 3, `prepare_varlen_num_blocks`, tiles of 128 tokens for paged KV
and heads of 128; at most 32 splits under vLLM's CUDA graphs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import ceil

BLOCK_TOKENS = 128
_MARGIN = 1.1
_MAX_SPLITS = 32
_SATURATING_SHARE = 1 / 3
"""Of the multiprocessors: so many items in flight reach the memory bandwidth (measured, H100)."""


def wave_factor(contexts: Iterable[int], *, kv_heads: int, num_sms: int) -> float:
    """Give how much longer decodes after `contexts` earlier tokens take than if evenly spread."""
    blocks = [context // BLOCK_TOKENS + 1 for context in contexts]
    per_item = ceil(_MARGIN * kv_heads * sum(blocks) / num_sms)
    items = kv_heads * sum([min(_MAX_SPLITS, -(-n // per_item)) for n in blocks])
    if items <= num_sms:
        return 1.0
    waves, left = divmod(items, num_sms)
    last = max(left, _SATURATING_SHARE * num_sms) if left else 0.0
    return (waves * num_sms + last) / items


def growth(contexts: Sequence[int], num_steps: int) -> Iterator[tuple[int, int]]:
    """Yield stretches (first step, end) of a run of decodes in which no context starts a block."""
    begins = {
        step
        for context in contexts
        for step in range(-context % BLOCK_TOKENS, num_steps, BLOCK_TOKENS)
    }
    marks = sorted({0, num_steps} | begins)
    yield from pairwise(marks)
