"""Water filling as a number."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.des.fair_share import fair_level

weights = st.floats(0.1, 100)
limits = st.one_of(st.floats(1e-6, 1e6), st.just(inf))


@pytest.mark.parametrize(
    ("demands", "capacity", "level"),
    [
        ([], 1.0, inf),
        ([(2, 0.5)], 1.0, inf),
        ([(2, inf)], 1.0, 0.5),
        ([(1, 0.1), (1, inf), (1, inf)], 1.0, 0.45),
        ([(1, 0.1), (2, 0.3), (1, 0.9)], 1.0, 0.3),
        ([(1, 0.1), (2, 0.2), (1, 0.9)], 1.0, 0.5),
    ],
)
def test_known_levels(demands: list[tuple[float, float]], capacity: float, level: float) -> None:
    assert fair_level(demands, capacity) == pytest.approx(level)


@given(st.lists(st.tuples(weights, limits), min_size=1, max_size=8), st.floats(0.01, 1e3))
def test_the_level_uses_the_whole_capacity_or_serves_all(
    demands: list[tuple[float, float]], capacity: float
) -> None:
    level = fair_level(demands, capacity)
    used = sum(weight * min(limit, level) for weight, limit in demands)
    if level == inf:
        assert used <= capacity * (1 + 1e-12)
    else:
        assert used == pytest.approx(capacity, rel=1e-9)
