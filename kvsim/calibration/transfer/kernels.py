"""Efficiencies of single kernels, from public tables of measured latencies.

AIConfigurator ("silicon" tables, Apache-2.0) and LLMServingSim's layer profiles (MIT) time one
kernel call of one layer. Divided into the work that the model's formulas count, that gives the
fractions of peak FLOPs and bandwidth which a served step is made of. A served step reaches less or
more than its kernels alone (clocks under load, launches, fused norms): the ratio is taken from a
card for which both are known and called composition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import nnls

from kvsim.calibration.fit.robust import Array
from kvsim.errors import CalibrationError
from kvsim.spec import GpuEfficiency, GpuSpec, ModelSpec

if TYPE_CHECKING:
    import pandas as pd

_BIG_TOKENS = (2048, 4096, 8192)
_FEW_TOKENS = (1, 2, 4, 8)
_LONG_PROMPTS = (4096, 16384)
_MIN_KV_BYTES = 128 * 2**20
"""Smaller reads come in part from the L2 cache (96 MB on an L40S)."""
_LONG_CONTEXT = 1024
_BF16_BYTES = 2
_MIN_ROWS = 5


@dataclass(frozen=True)
class KernelEfficiency:
    """Fractions of the card's peaks that its kernels reach on their own."""

    linear: float
    """Matrix products of 2,048 tokens and more: fraction of peak FLOPs."""
    weights: float
    """The same of 1 to 8 tokens, which read the weights: fraction of the bandwidth."""
    attention: float
    """Prefill attention of 4,096 tokens and more: fraction of peak FLOPs."""
    kv: float
    """Decode attention, time for each further byte of KV: fraction of the bandwidth."""
    scatter: dict[str, float]
    """Relative spread (half of p5 to p95) of each over the shapes in the table."""


def layer_products(model: ModelSpec) -> tuple[tuple[int, int], ...]:
    """Give (n, k) of a layer's matrix products: four, or of a mixture of experts the first two."""
    heads, kv_heads = model.num_attention_heads, model.num_key_value_heads
    hidden, wide = model.hidden_size, model.intermediate_size
    attention = (
        ((heads + 2 * kv_heads) * model.head_dim, hidden),
        (hidden, heads * model.head_dim),
    )
    return attention if model.is_moe else (*attention, (2 * wide, hidden), (hidden, wide))


def layer_params(model: ModelSpec) -> int:
    """Give the weights of `layer_products`."""
    return sum(n * k for n, k in layer_products(model))


def silicon_efficiency(
    folder: Path, model: ModelSpec, gpu: GpuSpec, *, version: str | None = None
) -> KernelEfficiency:
    """Read one card's gemm_perf, context_ and generation_attention_perf from below a folder.

    Compare cards at one version of the tables; without one the newest is taken.
    """
    gemm = read_silicon(folder, "gemm_perf", version)
    gemm = gemm[gemm["gemm_dtype"].str.startswith("bfloat16")]
    linear = [_products_rate(gemm, model, m, by_flops=True) / gpu.peak_flops for m in _BIG_TOKENS]
    weights = [
        _products_rate(gemm, model, m, by_flops=False) / gpu.hbm_bandwidth for m in _FEW_TOKENS
    ]
    context = attention_rows(read_silicon(folder, "context_attention_perf", version), model)
    context = context[(context["isl"] >= _LONG_PROMPTS[0]) & (context["isl"] <= _LONG_PROMPTS[1])]
    pairs = context["batch_size"] * context["isl"] ** 2 / 2
    flops = 4 * model.num_attention_heads * model.head_dim * pairs
    attention = flops / (context["latency"] * 1e-3) / gpu.peak_flops
    decode = attention_rows(read_silicon(folder, "generation_attention_perf", version), model)
    token_bytes = 2 * model.num_key_value_heads * model.head_dim * _BF16_BYTES
    read = decode["batch_size"] * (decode["step"] + 1) * token_bytes
    mask = (read >= _MIN_KV_BYTES) & (decode["step"] >= _LONG_CONTEXT)
    kv = _read_efficiency(read[mask], decode["latency"][mask] * 1e-3, gpu)
    return _summary(
        linear=np.array(linear),
        weights=np.array(weights),
        attention=attention.to_numpy(dtype=float),
        kv=kv,
    )


def layer_profile_efficiency(folder: Path, model: ModelSpec, gpu: GpuSpec) -> KernelEfficiency:
    """Read one folder of LLMServingSim's profiler (dense.csv, attention.csv; TP 1)."""
    import pandas as pd

    dense = pd.read_csv(folder / "dense.csv")
    names = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
    table = dense[dense["layer"].isin(names)].groupby("tokens")["time_us"].sum() * 1e-6
    params = float(layer_params(model))
    big = table[table.index >= _BIG_TOKENS[0]]
    few = table[table.index <= _FEW_TOKENS[-1]]
    rows = pd.read_csv(folder / "attention.csv")
    prefill = rows[(rows["n_decode"] == 0) & (rows["prefill_chunk"] >= 1024)]
    chunk = prefill["prefill_chunk"]
    pairs = chunk * (prefill["kv_prefill"] + chunk / 2)
    flops = 4 * model.num_attention_heads * model.head_dim * pairs
    decode = rows[(rows["prefill_chunk"] == 0) & (rows["n_decode"] > 0)]
    token_bytes = 2 * model.num_key_value_heads * model.head_dim * _BF16_BYTES
    read = decode["n_decode"] * decode["kv_decode"] * token_bytes
    mask = (read >= _MIN_KV_BYTES) & (decode["kv_decode"] >= _LONG_CONTEXT)
    kv = _read_efficiency(read[mask], decode["time_us"][mask] * 1e-6, gpu)
    return _summary(
        linear=(2 * params * big.index / big / gpu.peak_flops).to_numpy(dtype=float),
        weights=(params * _BF16_BYTES / few / gpu.hbm_bandwidth).to_numpy(dtype=float),
        attention=(flops / (prefill["time_us"] * 1e-6) / gpu.peak_flops).to_numpy(dtype=float),
        kv=kv,
    )


def transferred(
    fitted: GpuEfficiency, reference: KernelEfficiency, other: KernelEfficiency
) -> GpuEfficiency:
    """Give another card's served efficiencies: its kernels' times the reference's composition.

    Weights and KV share one number in the model, so memory takes the mean of both ratios.
    """
    linear = other.linear / reference.linear
    memory = (other.weights / reference.weights + other.kv / reference.kv) / 2
    attention = other.attention / reference.attention
    return fitted.model_copy(
        update={
            "linear_repetitive": min(1.0, fitted.linear_repetitive * linear),
            "linear_diverse": min(1.0, fitted.linear_diverse * linear),
            "attention": min(1.0, fitted.attention * attention),
            "memory": min(1.0, fitted.memory * memory),
        }
    )


def _products_rate(gemm: pd.DataFrame, model: ModelSpec, m: int, *, by_flops: bool) -> float:
    """Give FLOP/s, or bytes/s of weights, of a layer's products at m tokens."""
    params = layer_params(model)
    work = 2.0 * m * params if by_flops else float(_BF16_BYTES * params)
    return work / products_s(gemm, layer_products(model), m)


def products_s(gemm: pd.DataFrame, products: Sequence[tuple[int, int]], m: int) -> float:
    """Give the time of matrix products at m tokens; a shape not in the table is scaled."""
    rows = gemm[gemm["m"] == m]
    if rows.empty:
        raise CalibrationError(f"gemm_perf: no rows with m = {m}")
    seconds = 0.0
    for n, k in products:
        away = (np.log(rows["n"] / n)) ** 2 + (np.log(rows["k"] / k)) ** 2
        near = rows.loc[away.idxmin()]
        scale = n * k / (float(near["n"]) * float(near["k"]))
        seconds += float(near["latency"]) * 1e-3 * scale
    return seconds


def _read_efficiency(n_bytes: pd.Series, seconds: pd.Series, gpu: GpuSpec) -> Array:
    """Fit fixed + bytes / rate; give each row's efficiency after the fixed time."""
    if len(n_bytes) < _MIN_ROWS:
        raise CalibrationError(f"{len(n_bytes)} decode-attention rows of {_MIN_KV_BYTES} bytes")
    x, y = n_bytes.to_numpy(dtype=float), seconds.to_numpy(dtype=float)
    fixed_s, slope_s = nnls(np.column_stack([1 / y, x / y]), np.ones(len(y)))[0]
    if not slope_s:
        raise CalibrationError("decode attention does not grow with its KV; the table is odd")
    return np.asarray(x / (y - fixed_s) / gpu.hbm_bandwidth)


def attention_rows(rows: pd.DataFrame, model: ModelSpec) -> pd.DataFrame:
    """Pick the model's heads in bf16 without a window."""
    mask = (
        (rows["num_heads"] == model.num_attention_heads)
        & (rows["num_key_value_heads"] == model.num_key_value_heads)
        & (rows["head_dim"] == model.head_dim)
        & rows["kv_cache_dtype"].str.startswith("bfloat16")
        & rows["attn_dtype"].str.startswith("bfloat16")
    )
    if "window_size" in rows.columns:
        mask &= rows["window_size"] == 0
    if not mask.any():
        raise CalibrationError(
            f"attention tables: no rows with {model.num_attention_heads} heads, "
            f"{model.num_key_value_heads} KV heads of width {model.head_dim}"
        )
    return rows[mask]


def read_silicon(folder: Path, name: str, version: str | None) -> pd.DataFrame:
    """Read the newest table of a name below a folder, or that of one version of vLLM."""
    import pandas as pd

    found = sorted(folder.rglob(f"{name}.parquet"))
    if version is not None:
        found = [path for path in found if path.parent.name == version]
    if not found:
        of = f" of version {version}" if version else ""
        raise CalibrationError(f"{folder}: no {name}.parquet{of} below it")
    return pd.read_parquet(found[-1])


def _summary(**values: Array) -> KernelEfficiency:
    middle = {name: float(np.median(array)) for name, array in values.items()}
    scatter = {
        name: float(np.subtract(*np.percentile(array, [95, 5])) / 2 / middle[name])
        for name, array in values.items()
    }
    names = {item.name for item in fields(KernelEfficiency)} - {"scatter"}
    assert names == set(middle), "a term without values"
    return KernelEfficiency(scatter=scatter, **middle)
