"""A line before the cores: over all visitors together, no more simulations than the machine has.

Runs inside the page share one interpreter, so one at a time is as fast as several; the other cores
are for long jobs, each a process of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from kvsim.text import counted

LOOK_S: Final = 0.5
"""How often whoever waits looks whether it is still wanted."""


class Turns:
    """Lets at most so many be at work, in the order of their coming."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._line: list[object] = []
        self._moved = threading.Condition()

    @property
    def ahead(self) -> int:
        """How many have to end before one that comes now may begin."""
        return max(0, len(self._line) + 1 - self._most)

    @contextmanager
    def turn(self, on_wait: Callable[[int], bool] = lambda ahead: True) -> Iterator[None]:
        """Wait for a turn and hold it, or go on without as soon as `on_wait` says False.

        That is asked now and then, with how many have to end before.
        """
        place = object()
        with self._moved:
            self._line.append(place)
        try:
            self._wait(place, on_wait)
            yield
        finally:
            with self._moved:
                self._line.remove(place)
                self._moved.notify_all()

    def _wait(self, place: object, on_wait: Callable[[int], bool]) -> None:
        with self._moved:
            while (ahead := self._line.index(place) + 1 - self._most) > 0:
                if not on_wait(ahead):
                    return
                self._moved.wait(LOOK_S)


PAGE: Final = Turns(1)
"""Runs inside the page."""
JOBS: Final = Turns(max(1, (os.cpu_count() or 1) - 1))
"""Long jobs."""


def others(count: int) -> str:
    """Count the runs that somebody waits for."""
    return counted(count, "other run")
