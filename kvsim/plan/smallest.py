"""The smallest number that passes a test, with as few tests as possible."""

from __future__ import annotations

from collections.abc import Callable


def smallest(
    passes: Callable[[int], bool],
    *,
    low: int,
    high: int,
    guess: int | None = None,
    precision: float = 0.0,
) -> int | None:
    """Find the smallest integer in [low, high] that passes, None if `high` does not.

    Right where passing is monotone; else the result passes and a number just below it fails. The
    search goes out from `guess` in steps that grow, then halves (as a ratio, since capacities
    span orders of magnitude), until the failing and the passing end are within `precision` of
    each other (0: neighbours).
    """
    if not passes(high):
        return None
    if low >= high or passes(low):
        return min(low, high)
    fails, good = low, high
    if guess is not None and fails < guess < good:
        fails, good = _around(passes, guess, fails, good, max(precision, 0.02))
    while good - fails > max(1, int(precision * good)):
        middle = _between(fails, good)
        if passes(middle):
            good = middle
        else:
            fails = middle
    return good


def _around(
    passes: Callable[[int], bool], guess: int, fails: int, good: int, step: float
) -> tuple[int, int]:
    """Bracket the border near a guess."""
    at = guess
    grows = not passes(at)
    while True:
        if grows:
            fails = at
            at = max(at + 1, round(at * (1 + step)))
            if at >= good:
                return fails, good
            if passes(at):
                return fails, at
        else:
            good = at
            at = min(at - 1, round(at / (1 + step)))
            if at <= fails:
                return fails, good
            if not passes(at):
                return at, good
        step *= 3


def _between(fails: int, good: int) -> int:
    middle = round((fails * good) ** 0.5) if fails > 0 and good > 2 * fails else 0
    return middle if fails < middle < good else (fails + good) // 2
