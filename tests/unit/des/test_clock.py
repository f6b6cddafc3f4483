"""The clock: absolute times, phases of an instant, and what it relies on inside SimPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from kvsim.des import NORMAL, PLAN, STEP_END, Alarm, Clock, Task, Timeout

if TYPE_CHECKING:
    from collections.abc import Generator


def test_a_call_is_exact_where_a_timeout_rounds() -> None:
    when_s = 0.9
    clock = Clock(0.2)
    rounded = Clock(0.2)
    rounded.run(until=rounded.env.timeout(when_s - 0.2))
    assert rounded.now != when_s
    clock.call_at(when_s, lambda: None)
    clock.run()
    assert clock.now == when_s


def test_phases_order_one_instant_whatever_the_order_of_scheduling() -> None:
    clock = Clock()
    log: list[str] = []

    def note(name: str) -> None:
        log.append(name)

    clock.call_at(1.0, lambda: note("plan 1"), PLAN + 1)
    clock.call_at(1.0, lambda: note("step end 1"), STEP_END + 1)
    clock.call_at(1.0, lambda: note("plan 0"), PLAN)
    clock.call_at(1.0, lambda: note("arrival a"), NORMAL)
    clock.call_at(1.0, lambda: note("step end 0"), STEP_END)
    clock.call_at(1.0, lambda: note("arrival b"))
    clock.run()
    assert log == ["arrival a", "arrival b", "step end 0", "step end 1", "plan 0", "plan 1"]


def test_events_and_calls_of_one_phase_keep_their_order() -> None:
    clock = Clock()
    log: list[str] = []

    def wait() -> simpy.events.ProcessGenerator:
        yield clock.env.timeout(2.0)
        log.append("event")

    clock.env.process(wait())
    clock.call_at(0.0, lambda: clock.call_at(2.0, lambda: log.append("call")))
    clock.run()
    assert log == ["event", "call"]


def test_a_task_goes_on_at_the_instants_it_yields_in_its_phase() -> None:
    clock = Clock(0.2)
    log: list[float] = []

    def loop() -> Generator[float | None, None, None]:
        log.append(clock.now)
        yield 0.9
        log.append(clock.now)
        clock.call_at(2.0, task.go_on)
        yield None
        log.append(clock.now)
        yield 2.0
        log.append(clock.now)

    task = Task(clock, loop(), PLAN)
    for when_s in (0.2, 0.9, 2.0):
        clock.call_at(when_s, lambda: log.append(-clock.now))
    clock.run()
    assert log == [-0.2, 0.2, -0.9, 0.9, -2.0, 2.0, 2.0]


def test_an_alarm_rings_once_at_the_earliest_of_its_instants() -> None:
    clock = Clock()
    log: list[float] = []
    alarm = Alarm(lambda: log.append(clock.now))
    clock.call_at(9.0, alarm)
    clock.call_at(1.0, lambda: clock.call_at(4.0, alarm))
    clock.call_at(2.0, lambda: clock.call_at(3.0, alarm, PLAN))
    clock.run()
    assert log == [3.0]
    assert clock.now == 9.0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), max_size=12))
def test_a_timeout_rings_as_if_each_deadline_had_an_entry(waits: list[tuple[int, int]]) -> None:
    """Waits begin one after another; each is lifted after `first` or rings after `second`."""
    clock = Clock()
    timeout = Timeout(clock, PLAN)
    log: list[tuple[int, float]] = []

    def wait(number: int) -> None:
        if number < len(waits):
            done, patience = waits[number]
            timeout.set(clock.now + patience, lambda: end(number))
            if done < patience:
                clock.call_at(clock.now + done, lambda: lift(number))

    def lift(number: int) -> None:
        timeout.lift()
        wait(number + 1)

    def end(number: int) -> None:
        log.append((number, clock.now))
        wait(number + 1)

    wait(0)
    clock.run()
    begun, wanted = 0, []
    for number, (done, patience) in enumerate(waits):
        begun += min(done, patience)
        if done >= patience:
            wanted.append((number, begun))
    assert log == wanted


def test_a_timeout_that_is_lifted_leaves_one_entry() -> None:
    clock = Clock()
    timeout = Timeout(clock, PLAN)
    for number in range(50):
        timeout.set(100.0 + number, lambda: None)
        timeout.lift()
    assert clock.num_events == 1


def test_a_process_that_fails_alone_stops_the_run() -> None:
    clock = Clock()

    def fail() -> simpy.events.ProcessGenerator:
        yield clock.env.timeout(1.0)
        raise RuntimeError("broken")

    clock.env.process(fail())
    with pytest.raises(RuntimeError, match="broken"):
        clock.run()


@pytest.mark.parametrize("when_s", [0.999, float("nan")])
def test_the_past_is_refused(when_s: float) -> None:
    clock = Clock(1.0)
    with pytest.raises(AssertionError, match="before the present"):
        clock.call_at(when_s, print)


def test_an_error_in_a_call_stops_the_run_where_it_is() -> None:
    clock = Clock()

    def fail() -> None:
        raise RuntimeError("broken")

    clock.call_at(3.0, fail)
    with pytest.raises(RuntimeError, match="broken"):
        clock.run()
    assert clock.now == 3.0


def test_run_until_a_time_goes_on_afterwards() -> None:
    clock = Clock()
    log: list[float] = []
    for when_s in (1.0, 2.0, 3.0):
        clock.call_at(when_s, lambda: log.append(clock.now))
    clock.run(until=2.0)
    assert log == [1.0]
    clock.run()
    assert log == [1.0, 2.0, 3.0]


def test_num_events_counts_what_was_scheduled() -> None:
    clock = Clock()
    assert clock.num_events == 0
    clock.call_at(1.0, lambda: None)
    clock.env.timeout(3.0)
    assert clock.num_events == 2
    assert clock.num_events == 2
    clock.run()
    assert clock.num_events == 2


def test_what_waits_for_the_stop_hears_of_it_in_the_next_run() -> None:
    clock = Clock()
    log: list[str] = []
    done = clock.event()
    clock.call_at(1.0, done.succeed)
    clock.call_at(1.0, lambda: log.append("beside"))
    clock.run(until=done)
    assert log == ["beside"]
    assert clock.run(until=done) is None
    with pytest.raises(RuntimeError, match="nothing is left"):
        clock.run(until=clock.event())


def test_simpy_still_has_the_private_parts_that_the_clock_uses() -> None:
    environment = simpy.Environment()
    environment.timeout(2.0)
    (entry,) = environment._queue
    assert entry[:3] == (2.0, NORMAL, 0)
    assert repr(environment._eid) == "count(1)"
    assert environment._now == 0
    event = entry[3]
    assert event._ok
    assert event._value is None
    assert event.callbacks == []
    environment.step()
    assert event.callbacks is None
