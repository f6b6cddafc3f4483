"""Kernel times of one card and model in one shape, whoever measured them.

AIConfigurator (parquet, a version of vLLM in the path) and LLMServingSim's profiler (csv) time one
call in one layer. Products and experts are all of a layer's together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kvsim.calibration.fit.robust import Array
from kvsim.calibration.transfer.kernels import (
    attention_rows,
    layer_products,
    products_s,
    read_silicon,
)
from kvsim.errors import CalibrationError
from kvsim.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

_DISTRIBUTION = "power_law_1.01"
"""How tokens spread over experts in AIConfigurator's tables: the one that all cards have."""


@dataclass(frozen=True, eq=False)
class Timed:
    """Calls with what they worked on; `seconds` is the measured time of each in one layer."""

    seconds: Array
    tokens: Array
    """Tokens of the products or experts, of each prompt, or (decode) the number of decodes."""
    before: Array
    """Earlier tokens that each prompt or decode attends to, or experts visited; else zeros."""
    batch: Array
    """Prompts in the call; 1 elsewhere."""


@dataclass(frozen=True, eq=False)
class KernelTimes:
    """All that a table says of one layer."""

    products: Timed
    prefill: Timed
    decode: Timed
    experts: Timed | None
    """None for a dense model; `before` has the experts that were visited, NaN where not told."""


def silicon_times(folder: Path, model: ModelSpec, version: str) -> KernelTimes:
    """Read AIConfigurator's tables of one card below a folder (bf16)."""
    gemm = read_silicon(folder, "gemm_perf", version)
    gemm = gemm[gemm["gemm_dtype"].str.startswith("bfloat16")]
    tokens = np.unique(gemm["m"].to_numpy(dtype=float))
    products = np.array([products_s(gemm, layer_products(model), int(m)) for m in tokens])
    prefill = attention_rows(read_silicon(folder, "context_attention_perf", version), model)
    decode = attention_rows(read_silicon(folder, "generation_attention_perf", version), model)
    experts = None
    if model.is_moe:
        rows = read_silicon(folder, "moe_perf", version)
        mask = (
            (rows["hidden_size"] == model.hidden_size)
            & (rows["inter_size"] == model.moe_intermediate_size)
            & (rows["topk"] == model.num_experts_per_tok)
            & (rows["num_experts"] == model.num_experts)
            & (rows["moe_tp_size"] == 1)
            & (rows["moe_ep_size"] == 1)
            & rows["moe_dtype"].str.startswith("bfloat16")
            & (rows["distribution"] == _DISTRIBUTION)
        )
        if not mask.any():
            raise CalibrationError(f"{folder}: moe_perf has no rows with the experts of the model")
        experts = _timed(rows[mask], "latency", 1e-3, tokens="num_tokens")
        experts = Timed(experts.seconds, experts.tokens, experts.before * np.nan, experts.batch)
    return KernelTimes(
        products=Timed(products, tokens, np.zeros(len(tokens)), np.ones(len(tokens))),
        prefill=_timed(prefill, "latency", 1e-3, tokens="isl", before="step", batch="batch_size"),
        decode=_timed(decode, "latency", 1e-3, tokens="batch_size", before="step"),
        experts=experts,
    )


def profiler_times(folder: Path) -> KernelTimes:
    """Read one folder of LLMServingSim's profiler (dense, attention and, if there, moe)."""
    import pandas as pd

    dense = pd.read_csv(folder / "dense.csv")
    names = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
    dense = dense[dense["layer"].isin(names)].groupby("tokens")["time_us"].sum().reset_index()
    rows = pd.read_csv(folder / "attention.csv")
    prefill = rows[(rows["n_decode"] == 0) & (rows["prefill_chunk"] > 0)]
    decode = rows[(rows["prefill_chunk"] == 0) & (rows["n_decode"] > 0)]
    moe = folder / "moe.csv"
    experts = None
    if moe.is_file():
        experts = _timed(pd.read_csv(moe), "time_us", 1e-6, before="activated_experts")
    return KernelTimes(
        products=_timed(dense, "time_us", 1e-6),
        prefill=_timed(prefill, "time_us", 1e-6, tokens="prefill_chunk", before="kv_prefill"),
        decode=_timed(decode, "time_us", 1e-6, tokens="n_decode", before="kv_decode"),
        experts=experts,
    )


def _timed(
    rows: pd.DataFrame,
    time: str,
    unit_s: float,
    *,
    tokens: str = "tokens",
    before: str | None = None,
    batch: str | None = None,
) -> Timed:
    n = len(rows)
    return Timed(
        rows[time].to_numpy(dtype=float) * unit_s,
        rows[tokens].to_numpy(dtype=float),
        np.zeros(n) if before is None else rows[before].to_numpy(dtype=float),
        np.ones(n) if batch is None else rows[batch].to_numpy(dtype=float),
    )
