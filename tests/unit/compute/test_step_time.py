"""The step time: the measured H100 form, and never faster than the card."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.compute.step_time import StepTime
from kvsim.spec import EngineSpec, GpuSpec, ModelSpec, list_profiles, load_profile

MODELS = list(list_profiles("models"))
GPUS = list(list_profiles("gpus"))


def profile(model: str, gpu: str) -> tuple[ModelSpec, GpuSpec]:
    return load_profile("models", model), load_profile("gpus", gpu)  # type: ignore[return-value]


def test_h100_with_qwen3_8b_is_the_fitted_form() -> None:
    model, gpu = profile("qwen3-8b", "h100-sxm-80gb")
    step = StepTime(model, gpu, EngineSpec(), "repetitive")
    assert step.step_s(0, 0, []) == pytest.approx(6.785e-3, rel=1e-3)
    assert step.decodes_s([10_000] * 8, 1)[0] == pytest.approx(
        6.785e-3 + 8 * 18.75e-6 + 80_000 * 47.2e-9, rel=1e-3
    )
    pairs = 8_189 * (1_008 + 8_189 / 2)
    assert step.step_s(3, 36_000, [(1_008, 8_189)]) == pytest.approx(
        6.785e-3 + 8_192 * 18.75e-6 + 36_000 * 47.2e-9 + pairs * 0.971e-9, rel=1e-3
    )


def test_diverse_tokens_cost_12_percent_more_in_linear_layers() -> None:
    model, gpu = profile("qwen3-8b", "h100-sxm-80gb")
    same, diverse = (
        StepTime(model, gpu, EngineSpec(), content) for content in ("repetitive", "diverse")
    )
    fixed = same.step_s(0, 0, [])
    assert (diverse.base_s(8_192) - fixed) / (same.base_s(8_192) - fixed) == pytest.approx(
        1.118, abs=0.002
    )


@given(
    st.sampled_from(MODELS),
    st.sampled_from(GPUS),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(0, 256),
    st.integers(1, 30_000),
    st.lists(st.tuples(st.integers(0, 100_000), st.integers(1, 8_192)), max_size=3),
)
def test_no_step_beats_the_peaks(
    model_name: str,
    gpu_name: str,
    degree: int,
    decodes: int,
    context: int,
    chunks: list[tuple[int, int]],
) -> None:
    model, gpu = profile(model_name, gpu_name)
    engine = EngineSpec(tensor_parallel_size=degree)
    step_s = StepTime(model, gpu, engine, "repetitive").step_s(decodes, decodes * context, chunks)
    tokens = decodes + sum(n for _, n in chunks)
    pairs = sum(n * (before + n / 2) for before, n in chunks)
    flops = 2 * tokens * model.linear_params_active + pairs * model.attention_flops_per_pair
    assert step_s >= flops / (gpu.peak_flops * degree)
    ranks_read = 1 if model.is_mla else degree
    kv_bytes = model.kv_read_bytes_per_token * (
        decodes * context + sum(before + n for before, n in chunks)
    )
    read_s = (model.weights_read_bytes(tokens) / degree + kv_bytes / ranks_read) / gpu.hbm_bandwidth
    # A prefill's attention and its KV read overlap: of the two only the longer must show.
    prefill_s = (
        model.kv_read_bytes_per_token
        * sum(before + n for before, n in chunks)
        / ranks_read
        / gpu.hbm_bandwidth
    )
    assert step_s >= read_s - prefill_s
    assert step_s >= read_s or chunks


@given(st.integers(1, 64), st.integers(1, 20_000), st.integers(1, 2_000))
def test_more_work_never_takes_less(decodes: int, context: int, more: int) -> None:
    model, gpu = profile("qwen3-8b", "a100-40gb")
    step = StepTime(model, gpu, EngineSpec(), "repetitive")
    shorter, longer = (step.step_s(decodes, tokens, []) for tokens in (context, context + more))
    assert longer > shorter
    assert step.step_s(decodes, context, [(0, more)]) > shorter
    assert step.step_s(decodes, context, [(more, 100)]) >= step.step_s(decodes, context, [(0, 100)])
