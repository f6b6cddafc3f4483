"""Efficiencies from tables of single kernels, and predictions for cards without a fit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kvsim.calibration.transfer.kernels import (
    layer_profile_efficiency,
    silicon_efficiency,
    transferred,
)
from kvsim.calibration.transfer.serving import predict_decodes, read_decode_seconds
from kvsim.compute.step_time import StepTime
from kvsim.errors import CalibrationError
from kvsim.spec import EngineSpec, HostSpec, ModelSpec, load_profile

ROOT = Path(__file__).parents[3]
SILICON = ROOT / "tests" / "data" / "aiconfigurator"
SHARED = Path(os.environ.get("KVSIM_SHARED", ROOT.parent / "shared")) / "data"
SERVED = SHARED / "llmservingsim_vllm0.19"


def test_kernels_give_the_a100_profile(model: ModelSpec) -> None:
    h100, a100 = load_profile("gpus", "h100-sxm-80gb"), load_profile("gpus", "a100-80gb")
    reference = silicon_efficiency(SILICON / "h100_sxm", model, h100)
    other = silicon_efficiency(SILICON / "a100_sxm", model, a100)
    assert reference.linear == pytest.approx(0.848, abs=0.002)
    assert other.kv == pytest.approx(0.821, abs=0.002)
    found = transferred(h100.efficiency, reference, other)
    shipped = a100.efficiency
    for name in ("linear_repetitive", "linear_diverse", "attention", "memory"):
        assert getattr(shipped, name) == pytest.approx(getattr(found, name), rel=0.01), name


def test_tables_without_the_heads_are_refused(model: ModelSpec) -> None:
    odd = model.model_copy(update={"num_attention_heads": 40})
    with pytest.raises(CalibrationError, match="no rows with 40 heads"):
        silicon_efficiency(SILICON / "h100_sxm", odd, load_profile("gpus", "h100-sxm-80gb"))
    with pytest.raises(CalibrationError, match=r"no gemm_perf\.parquet"):
        silicon_efficiency(ROOT / "docs", model, load_profile("gpus", "h100-sxm-80gb"))


def test_decode_seconds(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text(
        '{"queued_ts": 100, "first_token_ts": 101, "last_token_ts": 111, "input_toks": 1000, '
        '"output_toks": 100}\n',
        encoding="utf-8",
    )
    (tmp_path / "timeseries.csv").write_text(
        "t,prompt_throughput,gen_throughput,running,waiting,kv_cache_pct\n"
        "1.0,1000,1,1,0,0\n6.0,0,10,1,0,0\n7.0,0,10,1,2,0\n8.0,0,10,5,0,0\n",
        encoding="utf-8",
    )
    only = read_decode_seconds(tmp_path)
    assert len(only) == 1  # prefill, waiting requests and a count that does not fit are left out
    assert only[0].step_s == pytest.approx(0.1)
    assert only[0].context_tokens == 1045


@pytest.mark.skipif(not SERVED.is_dir(), reason="LLMServingSim's runs are not here (KVSIM_SHARED)")
def test_decodes_of_a_card_without_a_fit(host: HostSpec) -> None:
    model, gpu = load_profile("models", "llama-3.1-8b"), load_profile("gpus", "rtx-pro-6000")
    h100 = load_profile("gpus", "h100-sxm-80gb")
    profile = SERVED / "profiler/perf/RTXPRO6000/meta-llama/Llama-3.1-8B/bf16/tp1"
    kernels = layer_profile_efficiency(profile, model, gpu)
    assert kernels.weights == pytest.approx(0.81, abs=0.02)
    run = SERVED / "bench/examples/RTXPRO6000/Llama-3.1-8B/vllm"
    seconds = read_decode_seconds(run)
    carried = gpu.model_copy(update={"efficiency": h100.efficiency})
    step = StepTime(model, carried, EngineSpec(), "diverse")
    assert predict_decodes(seconds, step, host).median_error < 0.16
    assert transferred(h100.efficiency, kernels, kernels) == h100.efficiency
