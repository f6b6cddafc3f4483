"""Which contexts a step decodes: the engine's rows give their number and sum only.

They follow from row to row. A decode that goes on has one token more; a prefill that is through
joins; those that end leave, and the sum tells which. Where it does not (a log with gaps), contexts
are unknown until a step decodes one sequence or none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

_MAX_LEAVING = 4
"""More that leave in one step are not looked for: the choices grow fast."""

Chunks = Sequence[tuple[int, int]]


def follow_contexts(steps: Iterable[tuple[int, int, Chunks]]) -> list[tuple[int, ...] | None]:
    """Give the tokens before each decode of each step, None where they are not known.

    A step is (number of decodes, sum of their contexts, prefill chunks).
    """
    found: list[tuple[int, ...] | None] = []
    candidates: list[int] | None = []
    for decodes, context_tokens, chunks in steps:
        if candidates is not None:
            going_on = Counter(before for before, _ in chunks)
            candidates = _without(candidates, going_on, surplus=len(candidates) - decodes)
        contexts = _chosen(candidates, decodes, context_tokens)
        found.append(contexts)
        if contexts is None:
            candidates = None
        else:
            candidates = [context + 1 for context in contexts]
            candidates += [before + n for before, n in chunks]
    return found


def _without(candidates: list[int], going_on: Counter[int], *, surplus: int) -> list[int]:
    """Leave out prefills that go on with another chunk, and so do not decode yet."""
    kept = []
    for context in reversed(candidates):  # prefills are at the end
        if surplus > 0 and going_on[context] > 0:
            going_on[context] -= 1
            surplus -= 1
        else:
            kept.append(context)
    return kept[::-1]


def _chosen(
    candidates: list[int] | None, decodes: int, context_tokens: int
) -> tuple[int, ...] | None:
    if decodes == 0:
        return ()
    if decodes == 1:
        return (context_tokens,)
    if candidates is None:
        return None
    leaving, gone_tokens = len(candidates) - decodes, sum(candidates) - context_tokens
    if not 0 <= leaving <= _MAX_LEAVING:
        return None
    for places in combinations(range(len(candidates)), leaving):
        if sum([candidates[place] for place in places]) == gone_tokens:
            gone = set(places)
            return tuple([c for place, c in enumerate(candidates) if place not in gone])
    return None
