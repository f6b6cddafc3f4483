"""Simulated time: SimPy's environment with absolute times, callbacks and phases of an instant.

All events of one instant run in the order of their phase, and within a phase in the order
in which they were scheduled: what arrives or ends (NORMAL) comes before the ends of steps
(STEP_END + instance), and these before the planning of the next step (PLAN + instance).
Only this module touches what SimPy keeps private; tests/unit/des pins it.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final

import simpy
from simpy.core import EmptySchedule
from simpy.events import Event, EventPriority

if TYPE_CHECKING:
    from collections.abc import Callable

NORMAL: Final = 1
"""Phase of arrivals, ends of transfers and client sessions (SimPy's own default)."""
STEP_END: Final = 2
"""Phase of the ends of engine steps; add the number of the instance."""
PLAN: Final = 1_000_000
"""Phase in which engines plan, when all else of the instant has happened; add the instance."""


class _Alarm(Event):
    """An event whose outcome is settled; only when it happens is open."""

    _ok = True
    _value = None

    def __init__(self, clock: Clock) -> None:
        self.env = clock
        self.callbacks = []


class Clock(simpy.Environment):
    """Simulated seconds since the start of the run."""

    now: float = 0.0  # a plain attribute, as SimPy's property costs a call

    def __init__(self, initial_time: float = 0.0) -> None:
        super().__init__(initial_time)
        self.now = initial_time

    def step(self) -> None:
        """Process the next event, unless it is an alarm that rang earlier."""
        if not self._queue:
            raise EmptySchedule
        event: Any
        when_s, _, _, event = heappop(self._queue)
        self._now = self.now = when_s
        if not isinstance(event, Event):
            event()  # what `call_at` was given
            return
        callbacks: Any = event.callbacks
        if callbacks is None:
            return
        event.callbacks = None  # type: ignore[assignment]
        try:
            for callback in callbacks:
                callback(event)
        except simpy.core.StopSimulation:
            event.callbacks = callbacks[callbacks.index(callback) + 1 :]
            self.schedule(event, EventPriority(-1))
            raise
        if not event._ok and not event.defused:
            raise event._value  # a process failed and nobody waits for it

    def at(self, when_s: float, priority: int = NORMAL) -> Event:
        """Return an event that happens at `when_s`, exactly.

        A timeout of `when_s - now` would round, and let two runs of one scenario differ.
        """
        assert when_s >= self.now, f"{when_s} s lies before the present, {self.now} s"
        event = _Alarm(self)
        heappush(self._queue, (when_s, priority, next(self._eid), event))  # type: ignore[misc]
        return event

    def alarm(self) -> Event:
        """Return an event that happens at the earliest instant that `ring` is called with."""
        return _Alarm(self)

    def ring(self, alarm: Event, when_s: float, priority: int = NORMAL) -> None:
        """Let an alarm, or an event of `at`, happen at `when_s` unless it does earlier."""
        assert when_s >= self.now, f"{when_s} s lies before the present, {self.now} s"
        heappush(self._queue, (when_s, priority, next(self._eid), alarm))  # type: ignore[misc]

    def call_at(self, when_s: float, fn: Callable[[], None], priority: int = NORMAL) -> None:
        """Call `fn` at `when_s`, exactly; cheaper than an event that a process waits for."""
        assert when_s >= self.now, f"{when_s} s lies before the present, {self.now} s"
        heappush(self._queue, (when_s, priority, next(self._eid), fn))  # type: ignore[misc]

    @property
    def num_events(self) -> int:
        """Events scheduled so far, those still to come included."""
        return int(repr(self._eid)[len("count(") : -1])
