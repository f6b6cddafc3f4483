"""The search finds the border, with few tests, from any guess."""

from hypothesis import given
from hypothesis import strategies as st

from kvsim.plan.smallest import smallest


@given(
    st.integers(0, 500),
    st.integers(0, 2_000),
    st.integers(0, 3_000),
    st.one_of(st.none(), st.integers(0, 4_000)),
)
def test_equals_trying_all(low: int, width: int, border: int, guess: int | None) -> None:
    high = low + width
    expected = next((n for n in range(low, high + 1) if n >= border), None)
    assert smallest(lambda n: n >= border, low=low, high=high, guess=guess) == expected


@given(st.integers(1, 10**9), st.floats(0.01, 0.2))
def test_is_as_precise_as_asked(border: int, precision: float) -> None:
    tried = []

    def passes(n: int) -> bool:
        tried.append(n)
        return n >= border

    found = smallest(passes, low=0, high=10**9, precision=precision)
    assert found is not None
    assert border <= found <= max(border * (1 + 2 * precision), border + 1)
    assert len(tried) <= 40


def test_a_good_guess_saves_tests() -> None:
    def count(guess: int | None) -> int:
        tried = []
        smallest(
            lambda n: tried.append(n) is None and n >= 70_000,
            low=0,
            high=10**7,
            guess=guess,
            precision=0.03,
        )
        return len(tried)

    assert count(70_500) < count(None)


@given(st.sets(st.integers(0, 200), min_size=1))
def test_without_order_the_result_passes(passing: set[int]) -> None:
    found = smallest(lambda n: n in passing, low=0, high=200)
    if 200 not in passing:
        assert found is None
    else:
        assert found in passing
        assert found in (0, *passing)
        assert found == 0 or (found - 1) not in passing
