"""SimPy's environment on kvsim's clock: its events and processes happen in the clock's order.

Only this module touches what SimPy keeps private; tests/unit/des pins it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import simpy
from simpy.core import StopSimulation
from simpy.events import URGENT, Event, EventPriority

if TYPE_CHECKING:
    from kvsim.des.clock import Clock


def breathe() -> None:
    """Let the interpreter hear of signals, other threads and interruptions.

    It looks for them when a Python function is entered, which compiled code by itself does not do.
    """


class ClockEnvironment(simpy.Environment):
    """A SimPy environment whose queue is a clock's."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock.now)
        self._clock = clock

    @property
    def now(self) -> float:
        """Return the clock's present (s)."""
        return self._clock.now

    def schedule(
        self, event: Event, priority: EventPriority = simpy.events.NORMAL, delay: float = 0
    ) -> None:
        """Let a SimPy event happen after a delay."""
        self._clock.call_at(self._clock.now + delay, partial(self._happen, event), priority)

    def peek(self) -> float:
        """Return when the clock's next call or event is due."""
        return self._clock.peek()

    def step(self) -> None:
        """Let the clock's next call or event happen."""
        self._clock.step()

    def run(self, until: Any = None) -> Any:
        """Let time pass, as `Clock.run` does."""
        return self._clock.run(until)

    def stop_at(self, until: Event | float) -> Event:
        """Let an event, or one that comes before all else at an instant, raise StopSimulation."""
        if not isinstance(until, Event):
            when_s, until = until, Event(self)
            until._ok, until._value = True, None
            self._clock.call_at(when_s, partial(self._happen, until), URGENT)
        until.callbacks.append(StopSimulation.callback)
        return until

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
