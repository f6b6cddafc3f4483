"""Simulated time: absolute times, plain calls and phases of an instant, on which SimPy runs.

All that happens at one instant is in the order of its phase, and within a phase in the order in
which it was scheduled: what arrives or ends (NORMAL) comes before the ends of steps
(STEP_END + instance), and these before the planning of the next step (PLAN + instance).

What is due is a call, and a SimPy event (`Clock.event`) is one way to make one. A call costs less
than half of an event (measured: 0.44), a `Task`, which goes on at instants, 0.57 of a SimPy
process, which waits for events.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from heapq import heappop, heappush
from math import inf
from typing import Any, Final

from simpy.core import EmptySchedule, StopSimulation
from simpy.events import Event

from kvsim.des.environment import ClockEnvironment, breathe

NORMAL: Final = 1
"""Phase of arrivals, ends of transfers and client sessions (SimPy's own default)."""
STEP_END: Final = 2
"""Phase of the ends of engine steps; add the number of the instance."""
PLAN: Final = 1_000_000
"""Phase in which engines plan, when all else of the instant has happened; add the instance."""

_CALLS_A_BREATH: Final = 256


class Clock:
    """Simulated seconds since the start of the run, and what is due."""

    def __init__(self, initial_time: float = 0.0) -> None:
        self.now = initial_time
        self.num_events = 0
        """Calls and events scheduled so far, those still to come included."""
        self.env = ClockEnvironment(self)
        self._queue: list[tuple[float, int, int, Callable[[], None]]] = []

    def call_at(self, when_s: float, fn: Callable[[], None], priority: int = NORMAL) -> None:
        """Call `fn` at `when_s`, exactly.

        A timeout of `when_s - now` would round, and let two runs of one scenario differ.
        """
        assert when_s >= self.now, f"{when_s} s lies before the present, {self.now} s"
        heappush(self._queue, (when_s, priority, self.num_events, fn))
        self.num_events += 1

    def event(self) -> Event:
        """Return a SimPy event of this clock."""
        return self.env.event()

    def run(self, until: Event | float | None = None) -> Any:
        """Let time pass: to the end, to an instant, or until an event, whose value it returns.

        As SimPy's, which calls `step` for each event.
        """
        if isinstance(until, Event) and until.processed:
            return until.value
        if until is not None:
            until = self.env.stop_at(until)
        queue = self._queue
        try:
            while queue:
                breathe()
                for _ in range(_CALLS_A_BREATH):
                    if not queue:
                        break
                    self.now, _, _, happen = heappop(queue)
                    happen()
        except StopSimulation as stop:
            return stop.args[0]
        if until is not None:
            raise RuntimeError(f"nothing is left that could bring about {until}")
        return None

    def peek(self) -> float:
        """Return when the next call or event is due; infinity if nothing is."""
        return self._queue[0][0] if self._queue else inf

    def step(self) -> None:
        """Let the next call or event happen."""
        if not self._queue:
            raise EmptySchedule
        self.now, _, _, happen = heappop(self._queue)
        happen()


class Alarm:
    """A call that is made once: at the earliest of the instants that it was scheduled for."""

    __slots__ = ("_fn",)

    def __init__(self, fn: Callable[[], None]) -> None:
        self._fn: Callable[[], None] | None = fn

    def __call__(self) -> None:
        fn, self._fn = self._fn, None
        if fn is not None:
            fn()


class Timeout:
    """A call at a deadline that mostly never comes: until then it costs no entry in the queue.

    One entry serves many deadlines, for a deadline that was lifted leaves its entry to the next.
    """

    def __init__(self, clock: Clock, priority: int) -> None:
        self._clock = clock
        self._priority = priority
        self._fn: Callable[[], None] | None = None
        self._deadline_s = inf
        self._entry_s = inf
        self._ring_at_entry = self._ring  # bound once

    def set(self, deadline_s: float, fn: Callable[[], None]) -> None:
        """Call `fn` at the deadline, unless it is lifted or another is set before."""
        self._fn, self._deadline_s = fn, deadline_s
        if deadline_s < self._entry_s:
            self._entry_s = deadline_s
            self._clock.call_at(deadline_s, self._ring_at_entry, self._priority)

    def lift(self) -> None:
        """Have no deadline."""
        self._fn, self._deadline_s = None, inf

    def _ring(self) -> None:
        if self._clock.now != self._entry_s:
            return  # an earlier deadline came after this entry
        self._entry_s = inf
        fn, deadline_s = self._fn, self._deadline_s
        if fn is None:
            return
        if deadline_s > self._clock.now:
            self.set(deadline_s, fn)
        else:
            self.lift()
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
