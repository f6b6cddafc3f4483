"""Identity of a prefix: which block or chunk of one prompt is the same as one of another.

A prompt is a path through a tree of texts: `((node, end_token), ...)`, ordered, each node unique
for its text *and* everything before it. The unit (block or chunk) number `i` of `unit_tokens`
tokens belongs to the node that holds its last token, because its hash covers everything up to
there. So `(node, i)` names a unit exactly, and sharing ends at the last unit that lies wholly in
the shared text (16 tokens in vLLM, 256 in LMCache).
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import chain, filterfalse

Path = tuple[tuple[int, int], ...]

Keys = list[range]
"""Units in prompt order: each range holds consecutive units of one node."""

_INDEX_BITS = 24
"""Room for 16 million units a node; the rest of the integer is the node."""


def spans(path: Path, unit_tokens: int, lo: int, hi: int) -> list[tuple[int, int, int]]:
    """Cut the units `[lo, hi)` of a prompt by owning node: `(node, lo, hi)` in order."""
    if len(path) > 1 and path[-2][1] <= lo * unit_tokens < hi * unit_tokens:
        return [(path[-1][0], lo, hi)]  # most calls ask for the end of a prompt
    cut: list[tuple[int, int, int]] = []
    for node, end_token in path:
        end = end_token // unit_tokens
        if end > hi:
            end = hi
        if end > lo:
            cut.append((node, lo, end))
            lo = end
        if lo >= hi:
            break
    return cut


def shared_tokens(path: Path, other: Path) -> int:
    """Count the tokens with which two prompts begin alike."""
    shared = 0
    for (node, end_token), (other_node, other_end) in zip(path, other):  # noqa: B905
        if node != other_node:
            break
        shared = min(end_token, other_end)
    return shared


def unit_keys(path: Path, unit_tokens: int, lo: int, hi: int) -> Keys:
    """Name the units `[lo, hi)` of a prompt, one integer each, unique over all nodes."""
    return [
        range((node << _INDEX_BITS) + start, (node << _INDEX_BITS) + end)
        for node, start, end in spans(path, unit_tokens, lo, hi)
    ]


def num_keys(keys: Keys) -> int:
    """Count keys."""
    if len(keys) == 1:  # as mostly
        return len(keys[0])
    return sum(map(len, keys))


def listed(keys: Keys) -> Sequence[int]:
    """List keys one by one."""
    return keys[0] if len(keys) == 1 else [*chain.from_iterable(keys)]


def cut(keys: Keys, lo: int, hi: int) -> Keys:
    """Take the keys number `lo` to `hi - 1`."""
    if lo >= hi:
        return []
    if len(keys) == 1:  # most prompts of a tier's own part
        run = keys[0][max(lo, 0) : hi]
        return [run] if run else []
    taken: Keys = []
    for run in keys:
        length = len(run)
        if lo < length:
            taken.append(run if lo <= 0 and hi >= length else run[max(lo, 0) : hi])
        lo -= length
        hi -= length
        if hi <= 0:
            break
    return taken


def split(keys: Keys, at: int) -> tuple[Keys, Keys]:
    """Part keys after the first `at`; there are so many."""
    for place, run in enumerate(keys):
        length = len(run)
        if at < length:
            if not at:
                return keys[:place], keys[place:]
            return [*keys[:place], run[:at]], [run[at:], *keys[place + 1 :]]
        at -= length
    return keys, []


def leading(keys: Keys, present: Container[int]) -> int:
    """Count the leading keys that are present."""
    count = 0
    for run in keys:
        missing = next(filterfalse(present.__contains__, run), None)
        if missing is not None:
            return count + missing - run.start
        count += len(run)
    return count


def node_of(key: int) -> int:
    """Return the node of a key."""
    return key >> _INDEX_BITS


def key_parts(key: int) -> tuple[int, int]:
    """Split a key into `(node, index)`."""
    return key >> _INDEX_BITS, key & ((1 << _INDEX_BITS) - 1)


def parts_key(node: int, index: int) -> int:
    """Build the key of unit `index` of a node."""
    return node << _INDEX_BITS | index
