"""At most so many are at work, in the order of their coming."""

from __future__ import annotations

import threading

from kvsim.app import turns
from kvsim.app.turns import Turns


def test_no_more_than_the_cores_are_at_work_in_their_order() -> None:
    line = Turns(2)
    begun: list[int] = []
    joined, at_work, go_on = ([threading.Event() for _ in range(4)] for _ in range(3))

    def work(number: int) -> None:
        def on_wait(ahead: int) -> bool:
            joined[number].set()
            return True

        with line.turn(on_wait):
            begun.append(number)
            joined[number].set()
            at_work[number].set()
            go_on[number].wait(10)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread, there in zip(threads, joined, strict=True):
        thread.start()
        assert there.wait(10)
    assert begun == [0, 1]
    assert line.ahead == 3
    go_on[1].set()
    assert at_work[2].wait(10)
    assert begun == [0, 1, 2]
    for event in go_on:
        event.set()
    for thread in threads:
        thread.join(10)
    assert begun == [0, 1, 2, 3]
    assert line.ahead == 0


def test_who_gives_up_leaves_the_line() -> None:
    line = Turns(1)
    with line.turn():
        with line.turn(lambda ahead: False):
            assert line.ahead == 2
        assert line.ahead == 1


def test_others_are_counted_in_words() -> None:
    assert [turns.others(count) for count in (1, 2)] == ["1 other run", "2 other runs"]
