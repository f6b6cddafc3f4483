"""Identity of a prefix: which block or chunk of one prompt is the same as one of another.

A prompt is a path through a tree of texts: `((node, end_token), ...)`, ordered, each node unique
for its text *and* everything before it. The unit (block or chunk) number `i` of `unit_tokens`
tokens belongs to the node that holds its last token, because its hash covers everything up to
there. So `(node, i)` names a unit exactly, and sharing ends at the last unit that lies wholly in
the shared text (16 tokens in vLLM, 256 in LMCache).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import filterfalse

Path = tuple[tuple[int, int], ...]

_INDEX_BITS = 24
"""Room for 16 million units a node; the rest of the integer is the node."""


def spans(path: Path, unit_tokens: int, lo: int, hi: int) -> list[tuple[int, int, int]]:
    """Cut the units `[lo, hi)` of a prompt by owning node: `(node, lo, hi)` in order."""
    cut: list[tuple[int, int, int]] = []
    for node, end_token in path:
        end = min(end_token // unit_tokens, hi)
        if end > lo:
            cut.append((node, lo, end))
            lo = end
        if lo >= hi:
            break
    return cut


def unit_keys(path: Path, unit_tokens: int, lo: int, hi: int) -> list[int]:
    """Name the units `[lo, hi)` of a prompt, one integer each, unique over all nodes."""
    keys: list[int] = []
    for node, start, end in spans(path, unit_tokens, lo, hi):
        base = node << _INDEX_BITS
        keys.extend(range(base + start, base + end))
    return keys


def leading(keys: Sequence[int], present: set[int]) -> int:
    """Count the leading keys that are in a set."""
    missing = next(filterfalse(present.__contains__, keys), None)
    return len(keys) if missing is None else keys.index(missing)


def key_parts(key: int) -> tuple[int, int]:
    """Split a key into `(node, index)`."""
    return key >> _INDEX_BITS, key & ((1 << _INDEX_BITS) - 1)


def parts_key(node: int, index: int) -> int:
    """Build the key of unit `index` of a node."""
    return node << _INDEX_BITS | index
