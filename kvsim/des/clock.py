"""Simulated time: SimPy's environment with absolute times, plain calls and phases of an instant.

All that happens at one instant is in the order of its phase, and within a phase in the order in
which it was scheduled: what arrives or ends (NORMAL) comes before the ends of steps
(STEP_END + instance), and these before the planning of the next step (PLAN + instance).

What is due is a call, and a SimPy event is one way to make one. A call costs less than half of an
event (measured: 0.44), a `Task`, which goes on at instants, 0.57 of a SimPy process, which waits
for events. Only this module touches what SimPy keeps private; tests/unit/des pins it.
"""

from __future__ import annotations

from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final

import simpy
from simpy.core import EmptySchedule, StopSimulation
from simpy.events import URGENT, Event, EventPriority

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

NORMAL: Final = 1
"""Phase of arrivals, ends of transfers and client sessions (SimPy's own default)."""
STEP_END: Final = 2
"""Phase of the ends of engine steps; add the number of the instance."""
PLAN: Final = 1_000_000
"""Phase in which engines plan, when all else of the instant has happened; add the instance."""


class Clock(simpy.Environment):
    """Simulated seconds since the start of the run."""

    now: float = 0.0  # a plain attribute, as SimPy's property costs a call

    def __init__(self, initial_time: float = 0.0) -> None:
        super().__init__(initial_time)
        self.now = initial_time

    def call_at(self, when_s: float, fn: Callable[[], None], priority: int = NORMAL) -> None:
        """Call `fn` at `when_s`, exactly.

        A timeout of `when_s - now` would round, and let two runs of one scenario differ.
        """
        assert when_s >= self.now, f"{when_s} s lies before the present, {self.now} s"
        heappush(self._queue, (when_s, priority, next(self._eid), fn))  # type: ignore[misc]

    def schedule(
        self, event: Event, priority: EventPriority = simpy.events.NORMAL, delay: float = 0
    ) -> None:
        """Let a SimPy event happen after a delay."""
        self.call_at(self.now + delay, partial(self._happen, event), priority)

    def run(self, until: Any = None) -> Any:
        """Let time pass: to the end, to an instant, or until an event, whose value it returns.

        As SimPy's, which calls `step` for each event.
        """
        if until is not None:
            if not isinstance(until, Event):
                until = self._instant(until)
            elif until.processed:
                return until.value
            until.callbacks.append(StopSimulation.callback)
        queue: list[Any] = self._queue
        try:
            while queue:
                self.now, _, _, happen = heappop(queue)
                happen()
        except StopSimulation as stop:
            return stop.args[0]
        if until is not None:
            raise RuntimeError(f"nothing is left that could bring about {until}")
        return None

    def step(self) -> None:
        """Let the next call or event happen."""
        queue: list[Any] = self._queue
        if not queue:
            raise EmptySchedule
        self.now, _, _, happen = heappop(queue)
        happen()

    def _instant(self, when_s: float) -> Event:
        """Return an event that comes before all else at `when_s`."""
        event = Event(self)
        event._ok, event._value = True, None
        self.call_at(when_s, partial(self._happen, event), URGENT)
        return event

    def _happen(self, event: Event) -> None:
        callbacks: Any = event.callbacks
        event.callbacks = None  # type: ignore[assignment]
        try:
            for callback in callbacks:
                callback(event)
        except StopSimulation:
            event.callbacks = callbacks[callbacks.index(callback) + 1 :]
            self.schedule(event, EventPriority(-1))
            raise
        if not event._ok and not event.defused:
            raise event._value  # a process failed and nobody waits for it

    @property
    def num_events(self) -> int:
        """Calls and events scheduled so far, those still to come included."""
        return int(repr(self._eid)[len("count(") : -1])


class Alarm:
    """A call that is made once: at the earliest of the instants that it was scheduled for."""

    __slots__ = ("_fn",)

    def __init__(self, fn: Callable[[], None]) -> None:
        self._fn: Callable[[], None] | None = fn

    def __call__(self) -> None:
        fn, self._fn = self._fn, None
        if fn is not None:
            fn()


class Task:
    """A loop in simulated time: it yields the instant at which it goes on, or None.

    After None it waits for `go_on`, which is not to be called otherwise.
    """

    def __init__(
        self, clock: Clock, loop: Generator[float | None, None, None], priority: int
    ) -> None:
        self._clock = clock
        self._loop = loop
        self._priority = priority
        self._go_on = self.go_on  # bound once
        clock.call_at(clock.now, self._go_on, priority)

    def go_on(self) -> None:
        """Let the loop take its next stretch, now."""
        when_s = next(self._loop, None)
        if when_s is not None:
            self._clock.call_at(when_s, self._go_on, self._priority)
