"""vLLM's scheduling rules, one by one, on a pool of four-token blocks."""

from __future__ import annotations

import pytest

from kvsim.cache.gpu_pool import GpuPool
from kvsim.engine.schedule import Scheduler
from kvsim.engine.sequence import Sequence, Step
from kvsim.workload.request import NO_END, Request
from tests.free_connector import FreeConnector


def scheduler(blocks: int = 100, *, batched: int = 64, seqs: int = 8) -> Scheduler:
    return Scheduler(
        GpuPool(blocks, 4), FreeConnector(), max_num_batched_tokens=batched, max_num_seqs=seqs
    )


def sequence(number: int, prompt: int, answer: int = 3, *, text: int | None = None) -> Sequence:
    node = 10 + (number if text is None else text)
    path = ((node, NO_END),)
    request = Request(number, number, 1, prompt, answer, path, warmup=False, arrival_s=0.0)
    return Sequence(request)


def run(engine: Scheduler, steps: int) -> list[Step]:
    """Take steps with two in flight, as the engine does."""
    taken: list[Step] = []
    in_flight: list[Step] = []
    for _ in range(steps):
        step = engine.schedule()
        if not step.is_empty:
            taken.append(step)
            in_flight.append(step)
        if in_flight and (len(in_flight) == 2 or step.is_empty):
            engine.update(in_flight.pop(0))
    return taken


def test_a_prompt_is_computed_in_chunks_of_the_budget() -> None:
    engine = scheduler(batched=16)
    engine.add(sequence(0, 40))
    assert [step.chunks for step in run(engine, 3)] == [[(0, 16)], [(16, 16)], [(32, 8)]]


def test_running_requests_come_first_and_decodes_take_one_token_each() -> None:
    engine = scheduler(batched=16)
    engine.add(sequence(0, 8))
    engine.add(sequence(1, 40))
    first, second, third, *_ = run(engine, 6)
    assert first.chunks == [(0, 8), (0, 8)]
    assert (second.decodes, second.context_tokens, second.chunks) == (1, 8, [(8, 15)])
    assert (third.decodes, third.context_tokens, third.chunks) == (1, 9, [(23, 16)]) or (
        third.decodes,
        third.chunks,
    ) == (1, [(23, 15)])


def test_an_exactly_cached_prompt_computes_its_last_block_again() -> None:
    engine = scheduler()
    engine.add(sequence(0, 16, 1, text=5))
    run(engine, 3)
    engine.add(sequence(1, 16, 1, text=5))
    (step,) = run(engine, 1)
    assert step.chunks == [(12, 4)]


def test_the_answer_is_a_hit_but_for_its_last_token() -> None:
    engine = scheduler()
    engine.add(sequence(0, 13, 4, text=5))
    run(engine, 8)
    assert not engine.has_requests
    engine.add(sequence(1, 40, 1, text=5))
    (step,) = run(engine, 1)
    # 13 + 4 tokens, the KV of the last one was never computed: 16 tokens are four full blocks.
    assert step.chunks == [(16, 24)]


def test_two_requests_of_one_step_share_what_the_first_will_compute() -> None:
    engine = scheduler()
    engine.add(sequence(0, 20, 1, text=5))
    engine.add(sequence(1, 20, 1, text=5))
    (step,) = run(engine, 1)
    assert step.chunks == [(0, 20), (16, 4)]


def test_the_whole_prompt_must_fit_and_blocks_the_line() -> None:
    engine = scheduler(blocks=10, batched=8)
    engine.add(sequence(0, 20, 1))
    engine.add(sequence(1, 24, 1))
    engine.add(sequence(2, 4, 1))
    steps = run(engine, 2)
    assert [step.chunks for step in steps] == [[(0, 8)], [(8, 8)]]
    assert len(engine.running) == 1
    run(engine, 1)
    assert engine.line_blocked, "request 1 does not fit, and request 2 waits behind it"
    assert [waiting.request_id for waiting in engine.waiting] == [1, 2]


def test_a_blocked_prompt_gets_in_when_a_running_request_fills_a_block_of_its_text() -> None:
    engine = scheduler(blocks=4)
    engine.add(sequence(0, 5, 30, text=5))
    in_flight = [engine.schedule(), engine.schedule()]
    engine.update(in_flight.pop(0))
    engine.add(sequence(1, 13, 3, text=5))
    in_flight.append(engine.schedule())
    assert len(engine.waiting) == 1
    assert not engine.line_blocked
    for step in in_flight:
        engine.update(step)
    (admitted,) = engine.schedule().admitted
    assert admitted.local_tokens == 8
    assert engine.pool.free_blocks == 0


def test_no_more_requests_than_max_num_seqs() -> None:
    engine = scheduler(seqs=2)
    for number in range(3):
        engine.add(sequence(number, 4))
    (step,) = run(engine, 1)
    assert len(step.chunks) == 2


def test_a_finished_request_is_not_scheduled_once_more() -> None:
    engine = scheduler()
    engine.add(sequence(0, 4, 3))
    steps = run(engine, 8)
    assert [(len(step.chunks), step.decodes) for step in steps] == [(1, 0), (0, 1), (0, 1)]
    assert not engine.has_requests


def test_the_youngest_is_preempted_and_keeps_the_token_in_flight() -> None:
    engine = scheduler(blocks=7)
    old, young = sequence(0, 8, 12), sequence(1, 8, 12)
    engine.add(old)
    engine.add(young)
    in_flight = [engine.schedule()]
    while not young.request.preemptions:
        in_flight.append(engine.schedule())
        before = young.num_output
        engine.update(in_flight.pop(0))
    assert old.request.preemptions == 0
    assert engine.waiting[0] is young
    assert young.num_output == before + 1, "the token of the step in flight is kept"
    resumed = run(engine, 20)
    again = [chunk for step in resumed for chunk in step.chunks]
    assert sum(again[0]) == young.prefill_end
    assert young.num_output == 12
    assert not engine.has_requests


def test_runway_ends_where_something_must_be_decided() -> None:
    engine = scheduler(blocks=100)
    engine.add(sequence(0, 8, 30))
    first = engine.schedule()
    second = engine.schedule()
    engine.update(first)
    assert engine.runway(second) == 30 - 2, "two samples are out or in flight"
    engine.running[0].store_at = 20
    assert engine.runway(second) == 20 - 9 - 1
    engine.add(sequence(1, 8))
    assert engine.runway(second) == 0, "a request may join"


@pytest.mark.parametrize("steps", [1, 5, 13])
def test_advance_equals_single_steps(steps: int) -> None:
    fast, slow = scheduler(), scheduler()
    states = []
    for engine in (fast, slow):
        engine.add(sequence(0, 10, 40))
        first = engine.schedule()
        flying = engine.schedule()
        engine.update(first)
        if engine is fast:
            engine.advance(steps)
        else:
            for _ in range(steps):
                following = engine.schedule()
                engine.update(flying)
                flying = following
        running = engine.running[0]
        states.append(
            (
                running.num_computed,
                running.num_output,
                running.placeholders,
                engine.pool.free_blocks,
            )
        )
        hits = sorted(engine.pool.hits())  # type: ignore[attr-defined]
        states.append(hits)
    assert states[:2] == states[2:]
