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
    per_item = _blocks_per_item(sum(blocks), kv_heads, num_sms)
    return _factor(_items(blocks, per_item, kv_heads), num_sms)


def wave_factors(
    contexts: Sequence[int], num_steps: int, *, kv_heads: int, num_sms: int
) -> Iterator[tuple[int, int, float]]:
    """Yield stretches (first step, end, factor) of a run whose contexts grow by one each step.

    The number of items lies between those of the first step's blocks in the last step's portions
    and the other way round: mostly that says that nothing changes.
    """
    first = [context // BLOCK_TOKENS + 1 for context in contexts]
    last = [(context + num_steps - 1) // BLOCK_TOKENS + 1 for context in contexts]
    small = _blocks_per_item(sum(first), kv_heads, num_sms)
    large = _blocks_per_item(sum(last), kv_heads, num_sms)
    most = _items(last, small, kv_heads)
    if most <= num_sms or most == _items(first, large, kv_heads):
        yield 0, num_steps, _factor(most, num_sms)
        return
    begins = {
        step
        for context in contexts
        for step in range(-context % BLOCK_TOKENS, num_steps, BLOCK_TOKENS)
    }
    for begin, end in pairwise(sorted({0, num_steps} | begins)):
        now = [context + begin for context in contexts]
        yield begin, end, wave_factor(now, kv_heads=kv_heads, num_sms=num_sms)


def _blocks_per_item(blocks: int, kv_heads: int, num_sms: int) -> int:
    return ceil(_MARGIN * kv_heads * blocks / num_sms)


def _items(blocks: Iterable[int], per_item: int, kv_heads: int) -> int:
    return kv_heads * sum([min(_MAX_SPLITS, -(-n // per_item)) for n in blocks])


def _factor(items: int, num_sms: int) -> float:
    if items <= num_sms:
        return 1.0
    waves, left = divmod(items, num_sms)
    last = max(left, _SATURATING_SHARE * num_sms) if left else 0.0
    return (waves * num_sms + last) / items
