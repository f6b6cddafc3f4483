"""A blocked line is left alone until it can move; trying it at every step must give the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvsim.cache.gpu_pool import GpuPool
from kvsim.engine.schedule import Scheduler
from kvsim.engine.sequence import Sequence, Step
from kvsim.workload.request import NO_END, Request
from tests.free_connector import FreeConnector

BLOCK_TOKENS = 4

Arrival = tuple[int, int, int, int, int]
"""(step, prompt tokens, answer tokens, text, tokens of it that all texts share)"""

arrivals = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.integers(1, 24),
        st.integers(1, 30),
        st.integers(0, 1),
        st.sampled_from([0, 0, 6]),
    ),
    min_size=2,
    max_size=8,
)


def _sequence(number: int, arrival: Arrival) -> Sequence:
    _, prompt, answer, text, shared = arrival
    path = ((1, shared), (10 + 100 * shared + text, NO_END)) if shared else ((5 + text, NO_END),)
    request = Request(number, number, 1, prompt, answer, path, warmup=False, arrival_s=0.0)
    return Sequence(request)


def _served(
    arriving: list[Arrival], drained: set[int], blocks: int, batched: int, *, restless: bool
) -> list[tuple[list[int], list[tuple[int, int]], int]]:
    """Return what each step admits and computes; a restless engine tries its line at every step."""
    engine = Scheduler(
        GpuPool(blocks, BLOCK_TOKENS),
        FreeConnector(),
        max_num_batched_tokens=batched,
        max_num_seqs=4,
    )
    waiting = sorted(enumerate(arriving), key=lambda item: item[1][0])
    in_flight: list[Step] = []
    steps = []
    for number in range(150):
        while waiting and waiting[0][1][0] <= number:
            engine.add(_sequence(*waiting.pop(0)))
        if restless:
            engine.line_blocked = False
        step = engine.schedule()
        steps.append(
            ([one.request_id for one in step.admitted], step.chunks, engine.pool.free_blocks)
        )
        if not step.is_empty:
            in_flight.append(step)
        while in_flight and (len(in_flight) > 1 or step.is_empty or number in drained):
            engine.update(in_flight.pop(0))
    return steps


@given(
    arriving=arrivals,
    drained=st.sets(st.integers(0, 40), min_size=5),
    blocks=st.integers(4, 12),
    batched=st.sampled_from([8, 64]),
)
def test_a_blocked_line_is_served_as_if_it_were_tried_at_every_step(
    arriving: list[Arrival], drained: set[int], blocks: int, batched: int
) -> None:
    patient = _served(arriving, drained, blocks, batched, restless=False)
    assert patient == _served(arriving, drained, blocks, batched, restless=True)
