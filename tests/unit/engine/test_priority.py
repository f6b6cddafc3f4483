"""vLLM's scheduling policy priority: who is served first, and who is preempted."""

from __future__ import annotations

from kvsim.cache.gpu_pool import GpuPool
from kvsim.engine.schedule import Scheduler
from kvsim.engine.sequence import Sequence, Step
from kvsim.workload.request import NO_END, Request
from tests.free_connector import FreeConnector
from tests.unit.engine.test_schedule import run


def scheduler(blocks: int = 100, *, seqs: int = 8) -> Scheduler:
    return Scheduler(
        GpuPool(blocks, 4),
        FreeConnector(),
        max_num_batched_tokens=64,
        max_num_seqs=seqs,
        by_priority=True,
    )


def sequence(
    number: int, priority: int, *, prompt: int = 8, answer: int = 30, arrival_s: float = 0.0
) -> Sequence:
    path = ((10 + number, NO_END),)
    request = Request(
        number, number, 1, prompt, answer, path, False, arrival_s=arrival_s, priority=priority
    )
    return Sequence(request)


def ids(sequences: list[Sequence]) -> list[int]:
    return [one.request_id for one in sequences]


def test_the_line_is_in_the_order_of_priority_then_arrival_then_number() -> None:
    engine = scheduler()
    for one in (
        sequence(0, 5),
        sequence(1, 1, arrival_s=2.0),
        sequence(2, 1, arrival_s=1.0),
        sequence(3, 1, arrival_s=1.0),
        sequence(4, -1, arrival_s=9.0),
    ):
        engine.add(one)
    assert ids(engine.schedule().admitted) == [4, 2, 3, 1, 0]


def test_a_waiting_request_does_not_preempt_a_running_one() -> None:
    engine = scheduler(seqs=1)
    engine.add(sequence(0, 9))
    run(engine, 3)
    engine.add(sequence(1, 0))
    run(engine, 3)
    assert ids(engine.running) == [0]
    assert engine.running[0].request.preemptions == 0


def test_the_least_urgent_is_preempted_though_it_came_first() -> None:
    engine = scheduler(blocks=8)
    first, urgent = sequence(0, 5), sequence(1, 0)
    engine.add(first)
    engine.add(urgent)
    for _ in range(40):
        run(engine, 1)
        if first.request.preemptions:
            break
    assert (first.request.preemptions, urgent.request.preemptions) == (1, 0)
    assert ids(list(engine.waiting)) == [0]


def test_a_step_loses_all_that_a_preempted_request_had_in_it() -> None:
    """Request 0 has its token in the step already when request 1 finds no block."""
    engine = scheduler(blocks=8)
    late, urgent = sequence(0, 5, prompt=10), sequence(1, 0, prompt=12)
    late.max_tokens = urgent.max_tokens = 16
    engine.add(late)
    in_flight = [engine.schedule()]
    engine.add(urgent)
    while not late.request.preemptions:
        step = engine.schedule()
        in_flight.append(step)
        if len(in_flight) == 2:
            engine.update(in_flight.pop(0))
    assert step.sampled == [urgent]
    assert step.decodes == 1
    assert step.context_tokens == urgent.num_computed - 1
    assert late.num_computed == 0
    placeholders = sum(late in one.sampled for one in in_flight)
    assert late.placeholders == placeholders
    while engine.has_requests or in_flight:
        step = engine.schedule()
        if not step.is_empty:
            in_flight.append(step)
        if in_flight and (len(in_flight) == 2 or step.is_empty):
            engine.update(in_flight.pop(0))
    assert (late.num_output, urgent.num_output) == (16, 16)
    assert engine.pool.free_blocks == 8


def test_a_more_urgent_arrival_unblocks_the_line() -> None:
    engine = scheduler(blocks=10)
    engine.add(sequence(0, 0, prompt=24, answer=8))
    run(engine, 2)
    engine.add(sequence(1, 5, prompt=30))
    step = Step()
    while not engine.line_blocked:
        step = run(engine, 1)[0]
    assert ids(step.admitted) == []
    engine.add(sequence(2, 1, prompt=4))
    assert not engine.line_blocked
    assert ids(engine.schedule().admitted) == [2]
