"""The clock: absolute times, phases of an instant, and what it relies on inside SimPy."""

from __future__ import annotations

import pytest
import simpy

from kvsim.des import NORMAL, PLAN, STEP_END, Clock


def test_at_is_exact_where_a_timeout_rounds() -> None:
    when_s = 0.9
    clock = Clock(0.2)
    rounded = Clock(0.2)
    rounded.run(until=rounded.timeout(when_s - 0.2))
    assert rounded.now != when_s
    clock.run(until=clock.at(when_s))
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
        yield clock.at(2.0)
        log.append("event")

    clock.process(wait())
    clock.call_at(0.0, lambda: clock.call_at(2.0, lambda: log.append("call")))
    clock.run()
    assert log == ["event", "call"]


def test_an_event_carries_no_value_and_can_be_waited_for_with_others() -> None:
    clock = Clock()
    seen: list[object] = []

    def wait() -> simpy.events.ProcessGenerator:
        late, soon = clock.at(5.0), clock.at(1.0)
        yield late | soon
        seen.extend([clock.now, soon.processed, late.processed, soon.value])

    clock.process(wait())
    clock.run()
    assert seen == [1.0, True, False, None]


def test_an_alarm_happens_once_at_the_earliest_ring() -> None:
    clock = Clock()
    log: list[float] = []
    alarm = clock.at(9.0)

    def wait() -> simpy.events.ProcessGenerator:
        yield alarm
        log.append(clock.now)

    clock.process(wait())
    clock.call_at(1.0, lambda: clock.ring(alarm, 4.0))
    clock.call_at(2.0, lambda: clock.ring(alarm, 3.0, PLAN))
    clock.run()
    assert log == [3.0]
    assert clock.now == 9.0
    with pytest.raises(AssertionError, match="before the present"):
        clock.ring(clock.alarm(), 8.0)


def test_a_process_that_fails_alone_stops_the_run() -> None:
    clock = Clock()

    def fail() -> simpy.events.ProcessGenerator:
        yield clock.at(1.0)
        raise RuntimeError("broken")

    clock.process(fail())
    with pytest.raises(RuntimeError, match="broken"):
        clock.run()


@pytest.mark.parametrize("when_s", [0.999, float("nan")])
def test_the_past_is_refused(when_s: float) -> None:
    clock = Clock(1.0)
    with pytest.raises(AssertionError, match="before the present"):
        clock.at(when_s)
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
    clock.at(2.0)
    clock.timeout(3.0)
    assert clock.num_events == 3
    assert clock.num_events == 3
    clock.run()
    assert clock.num_events == 3


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
