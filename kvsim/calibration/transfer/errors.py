"""How far a fit on one card and model carries to others: errors by card, model and kind of work.

Nothing of the other cards is fitted: their peaks come from the data sheet, and the fractions of
them from the fit. Single kernels miss what a served step adds or hides (clocks under load, fused
norms, launches), so the reference card itself stands in the table: what another card errs beyond
it is the transfer. Seconds of served runs have no such gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kvsim.calibration.fit.robust import Array
from kvsim.calibration.transfer.kernels import layer_params
from kvsim.calibration.transfer.serving import (
    predict_decodes,
    predict_mixed,
    read_decode_seconds,
    read_mixed_seconds,
)
from kvsim.calibration.transfer.tables import (
    KernelTimes,
    Timed,
    profiler_times,
    silicon_times,
)
from kvsim.compute.step_time import StepTime
from kvsim.errors import CalibrationError
from kvsim.spec import (
    CalibrationSpec,
    EngineSpec,
    GpuEfficiency,
    GpuSpec,
    HostSpec,
    ModelSpec,
    load_profile,
)

PREFILL_TOKENS = 1024
"""Products, experts and prompts of at least so many tokens are prefill."""
DECODE_TOKENS = 64
"""Products and experts of at most so many tokens are decode."""
_MIN_KV_BYTES = 128 * 2**20
"""Smaller reads come in part from the L2 cache (96 MB on an L40S)."""
_MIN_CONTEXT = 1024
_SILICON = (
    ("h100_sxm", "0.24.0", "h100-sxm-80gb"),
    ("h200_sxm", "0.24.0", "h200"),
    ("l40s", "0.24.0", "l40s"),
    ("h100_sxm", "0.14.0", "h100-sxm-80gb"),
    ("a100_sxm", "0.14.0", "a100-80gb"),
)
"""Folder below aiconfigurator/, version of vLLM, and the profile of the card."""
_SILICON_MODELS = ("qwen3-8b", "qwen3-30b-a3b")
_SERVED_ON_TWO = {"qwen3-32b"}
"""Models whose served run has tensor parallelism of 2 (LLMServingSim's README)."""
_SERVED_BATCHED_TOKENS = 2048


@dataclass(frozen=True)
class TransferRow:
    """The errors of one kind of work on one card with one model."""

    source: str
    gpu: str
    model: str
    work: str
    cases: int
    median_error: float
    """Median of |predicted - measured| / measured."""
    bias: float
    """Median of (predicted - measured) / measured."""
    beyond: float | None = None
    """Bias relative to that of the reference card's own kernels, from the same tables."""


def transfer_errors(folder: Path, spec: CalibrationSpec) -> list[TransferRow]:
    """Compare a fit with every excerpt in a folder (aiconfigurator/, llmservingsim/)."""
    efficiency = fitted_efficiency(spec)
    host = load_profile("hosts", spec.host)
    rows: list[TransferRow] = []
    for card, version, profile in _SILICON:
        gpu = _carried(profile, efficiency)
        for name in _SILICON_MODELS:
            model = load_profile("models", name)
            times = silicon_times(folder / "aiconfigurator" / card, model, version)
            rows += kernel_errors(times, model, gpu, source=f"kernels, vLLM {version}")
    for place in sorted((folder / "llmservingsim").glob("*/*/dense.csv")):
        home = place.parent
        gpu = _carried(home.parent.name, efficiency)
        model = load_profile("models", home.name)
        rows += kernel_errors(profiler_times(home), model, gpu, source="kernels, vLLM 0.19.0")
        if (home / "served").is_dir():
            rows += _served(home / "served", model, gpu, host)
    if not rows:
        raise CalibrationError(f"{folder}: no tables of other cards in it")
    return _beyond_reference(rows, spec.gpu)


def fitted_efficiency(spec: CalibrationSpec) -> GpuEfficiency:
    """Put the fit's coefficients in place of those of the profile of its card."""
    prefix = "gpu.efficiency."
    found = {
        path.removeprefix(prefix): coefficient.value
        for path, coefficient in spec.coefficients.items()
        if path.startswith(prefix)
    }
    known = load_profile("gpus", spec.gpu).efficiency
    return GpuEfficiency.model_validate(known.model_dump() | found)


def kernel_errors(
    times: KernelTimes, model: ModelSpec, gpu: GpuSpec, *, source: str
) -> list[TransferRow]:
    """Compare what the step's formula says of a layer's parts with the measured kernels."""
    step = StepTime(model, gpu, EngineSpec(), "diverse")
    found = []
    products = _product_s(times.products, model, gpu)
    for work, mask in (
        ("prefill products", times.products.tokens >= PREFILL_TOKENS),
        ("decode products", times.products.tokens <= DECODE_TOKENS),
    ):
        found.append((work, products, times.products.seconds, mask))
    prefill = times.prefill
    chunks = [
        step.step_s(0, 0, [(int(before), int(n))] * int(batch)) - step.base_s(int(n * batch))
        for before, n, batch in zip(prefill.before, prefill.tokens, prefill.batch, strict=True)
    ]
    predicted = np.array(chunks) / model.num_hidden_layers
    long = prefill.tokens >= PREFILL_TOKENS
    found.append(("prefill attention", predicted, prefill.seconds, long))
    decode = times.decode
    contexts = [
        step.step_s(int(n), int(n * before), ()) - step.base_s(int(n))
        for n, before in zip(decode.tokens, decode.before, strict=True)
    ]
    read = decode.tokens * decode.before * model.kv_bytes_per_token / model.num_hidden_layers
    large = (read >= _MIN_KV_BYTES) & (decode.before >= _MIN_CONTEXT)
    found.append(
        ("decode attention", np.array(contexts) / model.num_hidden_layers, decode.seconds, large)
    )
    if times.experts is not None:
        experts = _expert_s(times.experts, model, gpu)
        for work, mask in (
            ("prefill experts", times.experts.tokens >= PREFILL_TOKENS),
            ("decode experts", times.experts.tokens <= DECODE_TOKENS),
        ):
            found.append((work, experts, times.experts.seconds, mask))
    return [
        _row(source, gpu, model, work, guess[mask] / real[mask] - 1)
        for work, guess, real, mask in found
        if mask.any()
    ]


def _served(folder: Path, model: ModelSpec, gpu: GpuSpec, host: HostSpec) -> Iterator[TransferRow]:
    """Compare whole steps of a served run, decodes alone and together with prefills."""
    degree = 2 if model.name in _SERVED_ON_TWO else 1
    engine = EngineSpec(tensor_parallel_size=degree, max_num_batched_tokens=_SERVED_BATCHED_TOKENS)
    step = StepTime(model, gpu, engine, "diverse", pcie_bandwidth=host.pcie_bandwidth)
    source = "served, vLLM 0.19.0" + (f", TP {degree}" if degree > 1 else "")
    decodes = predict_decodes(read_decode_seconds(folder), step, host)
    mixed = predict_mixed(read_mixed_seconds(folder), step, host)
    for work, error in (("decode steps", decodes), ("prefill + decode", mixed)):
        yield TransferRow(
            source, gpu.name, model.name, work, error.seconds, error.median_error, error.bias
        )


def _beyond_reference(rows: Iterable[TransferRow], reference: str) -> list[TransferRow]:
    """Add what the other cards err beyond the reference card: the error of the transfer itself."""
    rows = [*rows]
    own = {(row.source, row.model, row.work): row.bias for row in rows if row.gpu == reference}
    found = []
    for row in rows:
        known = own.get((row.source, row.model, row.work))
        if known is None or row.gpu == reference:
            found.append(row)
        else:
            found.append(replace(row, beyond=(1 + row.bias) / (1 + known) - 1))
    return found


def _product_s(calls: Timed, model: ModelSpec, gpu: GpuSpec) -> Array:
    """Give a layer's products: their weights are read, then every token meets each."""
    params = float(layer_params(model))
    read_s = params * model.weight_bytes_per_param / (gpu.hbm_bandwidth * gpu.efficiency.memory)
    rate = gpu.peak_flops * gpu.efficiency.linear_diverse
    return np.asarray(read_s + 2 * params * calls.tokens / rate)


def _expert_s(calls: Timed, model: ModelSpec, gpu: GpuSpec) -> Array:
    """Give a layer's experts; where nobody says how many were visited, the expected number."""
    missed = (1 - model.num_experts_per_tok / model.num_experts) ** calls.tokens
    visited = np.where(np.isnan(calls.before), model.num_experts * (1 - missed), calls.before)
    read_bytes = visited * model.expert_params * model.expert_bytes
    read_s = read_bytes / (gpu.hbm_bandwidth * gpu.efficiency.memory)
    flops = 2.0 * model.expert_params * model.num_experts_per_tok * calls.tokens
    return np.asarray(read_s + flops / (gpu.peak_flops * gpu.efficiency.linear_diverse))


def _carried(profile: str, efficiency: GpuEfficiency) -> GpuSpec:
    return load_profile("gpus", profile).model_copy(update={"efficiency": efficiency})


def _row(
    source: str, gpu: GpuSpec, model: ModelSpec, work: str, errors: Iterable[float]
) -> TransferRow:
    off = np.asarray([*errors], dtype=float)
    middle, bias = float(np.median(np.abs(off))), float(np.median(off))
    return TransferRow(source, gpu.name, model.name, work, len(off), middle, bias)
