"""Efficiencies from tables of single kernels, and predictions for cards without a fit."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from kvsim.calibration.transfer.errors import kernel_errors, transfer_errors
from kvsim.calibration.transfer.kernels import (
    layer_profile_efficiency,
    silicon_efficiency,
    transferred,
)
from kvsim.calibration.transfer.serving import (
    MixedSecond,
    predict_decodes,
    predict_mixed,
    read_decode_seconds,
    read_mixed_seconds,
)
from kvsim.calibration.transfer.tables import KernelTimes, Timed
from kvsim.cli import main
from kvsim.compute.step_time import StepTime
from kvsim.errors import CalibrationError
from kvsim.spec import EngineSpec, HostSpec, ModelSpec, load_profile
from kvsim.spec.profiles import Roots, find_calibration

ROOT = Path(__file__).parents[3]
TRANSFER = ROOT / "experiments" / "validation" / "transfer"
SILICON = TRANSFER / "aiconfigurator"
SHARED = Path(os.environ.get("KVSIM_SHARED", ROOT.parent / "shared")) / "data"
SERVED = SHARED / "llmservingsim_vllm0.19"


def test_kernels_give_the_a100_profile(model: ModelSpec) -> None:
    h100, a100 = load_profile("gpus", "h100-sxm-80gb"), load_profile("gpus", "a100-80gb")
    reference = silicon_efficiency(SILICON / "h100_sxm", model, h100, version="0.14.0")
    other = silicon_efficiency(SILICON / "a100_sxm", model, a100, version="0.14.0")
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


def test_seconds_with_prompts_are_told_from_those_without(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text(
        '{"queued_ts": 0, "first_token_ts": 1, "last_token_ts": 11, "input_toks": 1000, '
        '"output_toks": 100}\n',
        encoding="utf-8",
    )
    (tmp_path / "timeseries.csv").write_text(
        "t,prompt_throughput,gen_throughput,running,waiting\n"
        "6.0,500,20,2,0\n7.0,0,10,1,0\n8.0,500,0,1,0\n",
        encoding="utf-8",
    )
    assert read_mixed_seconds(tmp_path) == [MixedSecond(5.5, 1, 1045, 500.0, 20.0)]


def test_a_second_that_the_model_would_fill_exactly_has_no_error(
    model: ModelSpec, host: HostSpec
) -> None:
    step = StepTime(model, load_profile("gpus", "h100-sxm-80gb"), EngineSpec(), "diverse")
    step_s = step.step_s(8, 40_000, [(0, 2_000)])
    one = MixedSecond(0.5, 8, 40_000, 2_000 / step_s, 8 / step_s)
    error = predict_mixed([one] * 7, step, host)
    assert error.seconds == 2  # five in a row make a case
    assert error.bias == pytest.approx(0.0, abs=1e-3)
    slow = MixedSecond(0.5, 8, 40_000, 1_000 / step_s, 4 / step_s)
    assert predict_mixed([slow], step, host).bias == pytest.approx(-0.5, abs=1e-3)


def test_kernels_made_by_the_formula_have_no_error() -> None:
    gpu, moe = load_profile("gpus", "h200"), load_profile("models", "qwen3-30b-a3b")
    step = StepTime(moe, gpu, EngineSpec(), "diverse")
    layers = moe.num_hidden_layers
    efficiency = gpu.efficiency
    rate, read = gpu.peak_flops * efficiency.linear_diverse, gpu.hbm_bandwidth * efficiency.memory
    params = (32 + 8) * 128 * 2048 + 2048 * 32 * 128
    ones, zeros = np.ones(2), np.zeros(2)
    tokens = np.array([8.0, 2048.0])
    products = Timed(2 * params / read + 2 * params * tokens / rate, tokens, zeros, ones)
    prompt_s = (step.step_s(0, 0, [(0, 4096)] * 2) - step.base_s(8192)) / layers
    prefill = Timed(np.array([prompt_s]), np.array([4096.0]), np.zeros(1), np.array([2.0]))
    decode_s = (step.step_s(64, 64 * 8192, ()) - step.base_s(64)) / layers
    decode = Timed(np.array([decode_s]), np.array([64.0]), np.array([8192.0]), np.ones(1))
    expert = 3 * 2048 * 768
    visited = np.array([64.0, 128.0])
    experts_s = visited * expert * 2 / read + 2 * expert * 8 * tokens / rate
    times = KernelTimes(products, prefill, decode, Timed(experts_s, tokens, visited, ones))
    rows = kernel_errors(times, moe, gpu, source="made")
    assert len(rows) == 6
    for row in rows:
        assert row.bias == pytest.approx(0.0, abs=1e-9), row.work
    slower = Timed(2 * experts_s, tokens, visited, ones)
    rows = kernel_errors(KernelTimes(products, prefill, decode, slower), moe, gpu, source="made")
    assert [row.bias for row in rows if "experts" in row.work] == pytest.approx([-0.5, -0.5])


def test_errors_of_the_shipped_fit_on_other_cards(capsys: pytest.CaptureFixture[str]) -> None:
    rows = transfer_errors(TRANSFER, find_calibration("h100-qwen3-8b", Roots()))
    found = {(row.source, row.gpu, row.model, row.work): row for row in rows}
    assert len(found) == len(rows)
    assert {row.gpu for row in rows} == {
        *("h100-sxm-80gb", "h200", "l40s", "a100-80gb"),
        *("rtx-4090", "rtx-pro-6000"),
    }
    for row in rows:
        # What is measured is in the same world as what is predicted, on every card.
        assert abs(row.bias) < 0.7, row
        if row.gpu == "h200" and row.model == "qwen3-8b":
            assert row.beyond is not None
            assert abs(row.beyond) < 0.1, row  # the same chip with other memory
    served = [row for row in rows if row.source.startswith("served")]
    assert len(served) == 6
    assert max(row.median_error for row in served if row.work == "decode steps") < 0.2
    assert main(["validate", "--transfer", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["transfer"]
    assert [row["bias"] for row in told] == [row.bias for row in rows]
    assert main(["validate", "--transfer"]) == 0
    shown = capsys.readouterr().out
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80
    assert main(["validate", "--transfer", "--set", "gpu=h200"]) == 2
    assert "--transfer takes calibration=NAME only" in capsys.readouterr().err
