"""Waves of decode attention: the rule of the kernel, and what an H100 showed of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.compute.split_kv import BLOCK_TOKENS, wave_factor, wave_factors
from kvsim.compute.step_time import StepTime
from kvsim.spec import EngineSpec, load_profile

contexts = st.lists(st.integers(0, 40_000), min_size=1, max_size=64)


def h100(tokens: list[int]) -> float:
    return wave_factor(tokens, kv_heads=8, num_sms=132)


@pytest.mark.parametrize(
    ("decodes", "factor"),
    [(1, 1.0), (2, 1.0), (4, 1.0), (6, 11 / 9), (8, 1.0), (9, 11 / 9), (12, 1.0), (17, 22 / 17)],
)
def test_equal_contexts(decodes: int, factor: float) -> None:
    assert h100([11_500] * decodes) == pytest.approx(factor)


def test_one_longer_context_starts_a_second_wave() -> None:
    """Five contexts of 90 blocks make 15 items a head; two of more than 90 blocks make 17."""
    blocks = 90 * BLOCK_TOKENS - 1
    assert h100([blocks] * 5) == 1.0
    longer = [blocks + BLOCK_TOKENS] * 2 + [blocks - BLOCK_TOKENS] * 3
    assert h100(longer) == pytest.approx((132 + 132 / 3) / 136)


@given(contexts, st.integers(1, 16), st.integers(1, 160))
def test_waves_only_cost(tokens: list[int], kv_heads: int, num_sms: int) -> None:
    factor = wave_factor(tokens, kv_heads=kv_heads, num_sms=num_sms)
    assert 1.0 <= factor < 2.0


@given(contexts, st.integers(1, 300))
def test_factors_of_a_run_are_those_of_its_steps(tokens: list[int], num_steps: int) -> None:
    stretches = list(wave_factors(tokens, num_steps, kv_heads=8, num_sms=132))
    ends = [end for _, end, _ in stretches]
    assert [begin for begin, _, _ in stretches] + [num_steps] == [0, *ends]
    for begin, end, factor in stretches:
        for step in range(begin, end):
            assert h100([n + step for n in tokens]) == factor


@given(st.lists(st.integers(1, 30_000), min_size=1, max_size=20), st.integers(1, 200))
def test_a_run_of_decodes_equals_its_steps(tokens: list[int], num_steps: int) -> None:
    step = StepTime(
        load_profile("models", "qwen3-8b"),  # type: ignore[arg-type]
        load_profile("gpus", "h100-sxm-80gb"),  # type: ignore[arg-type]
        EngineSpec(),
        "repetitive",
    )
    assert step.decodes_s(tokens, num_steps) == [
        step.step_s(len(now), sum(now), (), step.waves(now))
        for now in ([n + number for n in tokens] for number in range(num_steps))
    ]


def test_other_cards_have_no_waves() -> None:
    for gpu in ("a100-40gb", "l40s"):
        step = StepTime(
            load_profile("models", "qwen3-8b"),  # type: ignore[arg-type]
            load_profile("gpus", gpu),  # type: ignore[arg-type]
            EngineSpec(),
            "repetitive",
        )
        assert step.waves([11_000] * 6) == 1.0
