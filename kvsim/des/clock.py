"""Simulated time: SimPy's environment with absolute times, callbacks and phases of an instant.

All events of one instant run in the order of their phase, and within a phase in the order
in which they were scheduled: what arrives or ends (NORMAL) comes before the ends of steps
(STEP_END + instance), and these before the planning of the next step (PLAN + instance).
Only this module touches what SimPy keeps private; tests/unit/des pins it.
"""

from __future__ import annotations

from heapq import heappush
from typing import TYPE_CHECKING, Final

import simpy
from simpy.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

NORMAL: Final = 1
"""Phase of arrivals, ends of transfers and client sessions (SimPy's own default)."""
STEP_END: Final = 2
"""Phase of the ends of engine steps; add the number of the instance."""
PLAN: Final = 1_000_000
"""Phase in which engines plan, when all else of the instant has happened; add the instance."""


class _Call:
    """What SimPy's loop needs of an event (`callbacks`, `_ok`), and one function to call."""

    __slots__ = ("callbacks", "fn")
    _ok: Final = True

    def __init__(self, fn: Callable[[], None]) -> None:
        self.callbacks: tuple[Callable[[_Call], None], ...] | None = _CALLBACKS
        self.fn = fn


def _run(call: _Call) -> None:
    call.fn()


_CALLBACKS: Final[tuple[Callable[[_Call], None], ...]] = (_run,)


class Clock(simpy.Environment):
    """Simulated seconds since the start of the run."""

    def at(self, when_s: float, priority: int = NORMAL) -> Event:
        """Return an event that happens at `when_s`, exactly.

        A timeout of `when_s - now` would round, and let two runs of one scenario differ.
        """
        assert when_s >= self._now, f"{when_s} s lies before the present, {self._now} s"
        event = Event(self)
        event._ok = True
        event._value = None
        heappush(self._queue, (when_s, priority, next(self._eid), event))  # type: ignore[misc]
        return event

    def call_at(self, when_s: float, fn: Callable[[], None], priority: int = NORMAL) -> None:
        """Call `fn` at `when_s`, exactly; cheaper than an event that a process waits for."""
        assert when_s >= self._now, f"{when_s} s lies before the present, {self._now} s"
        heappush(self._queue, (when_s, priority, next(self._eid), _Call(fn)))  # type: ignore[misc]

    @property
    def num_events(self) -> int:
        """Events scheduled so far, those still to come included."""
        return int(repr(self._eid)[len("count(") : -1])
