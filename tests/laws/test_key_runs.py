"""Keys in runs are the same as keys in a set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvsim.cache.key_runs import KeyRuns
from kvsim.cache.keys import leading, parts_key

NODES = st.integers(0, 2)


@st.composite
def runs(draw: st.DrawFn) -> range:
    node, lo = draw(NODES), draw(st.integers(0, 30))
    return range(parts_key(node, lo), parts_key(node, lo + draw(st.integers(1, 12))))


@given(st.lists(runs(), max_size=25), st.lists(runs(), min_size=1, max_size=3))
def test_runs_equal_a_set(added: list[range], asked: list[range]) -> None:
    mine, plain = KeyRuns(), set[int]()
    for run in added:
        mine.add(run)
        plain.update(run)
        assert len(mine) == len(plain)
        assert mine.prefix(asked) == leading(asked, plain)
        assert [mine.common(one) for one in asked] == [
            len(plain.intersection(one)) for one in asked
        ]
    assert sorted(mine) == sorted(plain)
    assert len([*mine]) == len(plain)
