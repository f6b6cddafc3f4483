"""Contexts of decodes followed through the sums that an engine's rows give."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvsim.calibration.fit.contexts import follow_contexts


def test_leaving_and_joining() -> None:
    steps = [
        (0, 0, ((0, 100),)),
        (1, 100, ((0, 50), (0, 30))),
        (3, 101 + 50 + 30, ()),
        (2, 102 + 31, ()),  # the one after 50 tokens has left
        (1, 32, ((200, 64),)),
        (1, 33, ((264, 8),)),  # a prefill that goes on
        (2, 34 + 272, ()),
    ]
    assert follow_contexts(steps) == [
        (),
        (100,),
        (101, 50, 30),
        (102, 31),
        (32,),
        (33,),
        (34, 272),
    ]


def test_unknown_until_one_decodes() -> None:
    steps = [(1, 10, ()), (2, 500, ()), (2, 502, ()), (1, 20, ()), (1, 21, ())]
    assert follow_contexts(steps) == [(10,), None, None, (20,), (21,)]


@given(st.data())
def test_every_history_is_followed(data: st.DataObject) -> None:
    """Sequences join with a prompt and leave after their answer; their sums give them back."""
    running: list[list[int]] = []  # context, tokens left
    steps, want = [], []
    for _ in range(data.draw(st.integers(1, 40))):
        chunks = data.draw(st.lists(st.integers(1, 5_000), max_size=2))
        contexts = [context for context, _ in running]
        steps.append((len(contexts), sum(contexts), tuple((0, n) for n in chunks)))
        want.append(sorted(contexts))
        leaving = 0
        after = []
        for context, left in running:
            if left == 1 and leaving < 4:
                leaving += 1
            else:
                after.append([context + 1, max(left - 1, 1)])
        running = after + [[n, data.draw(st.integers(1, 9))] for n in chunks]
    found = follow_contexts(steps)
    assert [None if one is None else sum(one) for one in found] == [sum(one) for one in want]
    assert found[0] == ()
