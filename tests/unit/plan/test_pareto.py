"""The Pareto front equals its definition."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.errors import ConfigError
from kvsim.plan.pareto import Direction, pareto_front

values = st.sampled_from([0.0, 1.0, 2.0, 3.0, math.inf, math.nan])
"""Few, so that ties are frequent."""


def on_front(rows: list[tuple[float, ...]], index: int, signs: list[int]) -> bool:
    """Say it as the definition does."""
    mine = [sign * value for sign, value in zip(signs, rows[index], strict=True)]
    if any(math.isnan(value) for value in mine):
        return False
    for row in rows:
        other = [sign * value for sign, value in zip(signs, row, strict=True)]
        if any(math.isnan(value) for value in other):
            continue
        pairs = list(zip(other, mine, strict=True))
        if all(a <= b for a, b in pairs) and any(a < b for a, b in pairs):
            return False
    return True


@given(
    st.lists(st.tuples(values, values, values), max_size=25),
    st.lists(st.sampled_from(["min", "max"]), min_size=3, max_size=3),
)
def test_front_equals_brute_force(
    rows: list[tuple[float, float, float]], ways: list[Direction]
) -> None:
    table = pd.DataFrame(rows, columns=["a", "b", "c"], dtype=float)
    table.index = table.index + 7
    front = pareto_front(table, dict(zip("abc", ways, strict=True)))
    signs = [1 if way == "min" else -1 for way in ways]
    assert front.index.equals(table.index)
    assert front.tolist() == [on_front(rows, index, signs) for index in range(len(rows))]


def test_one_objective_keeps_all_that_tie() -> None:
    table = pd.DataFrame({"cost": [2.0, 1.0, 1.0, math.nan], "name": list("abcd")})
    assert pareto_front(table, {"cost": "min"}).tolist() == [False, True, True, False]
    assert pareto_front(table, {"cost": "max"}).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("objectives", "words"),
    [
        ({}, "no objectives"),
        ({"cots": "min"}, "did you mean 'cost'"),
        ({"cost": "least"}, "neither 'min' nor 'max'"),
    ],
)
def test_bad_objectives_are_named(objectives: dict[str, Direction], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        pareto_front(pd.DataFrame({"cost": [1.0]}), objectives)
