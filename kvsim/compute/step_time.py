"""How long the GPU works on one step: a roofline of model and GPU with fitted efficiencies.

    G = weights / (HBM * e_m) + layers * overhead          read once a step, whatever the batch
      + tokens * 2 * linear_params / (FLOPs * e_lin)       linear layers
      + decode_context * waves * kv_bytes / (HBM * e_m)    each decode reads its whole KV
      + sum over chunks of max(pairs * attention_flops / (FLOPs * e_att), KV read of the chunk)

The terms add up: on an H100 a maximum of memory and compute fits no better (real runs,
docs/fit.md), and the sum can never beat the peak. Pairs of a chunk of n tokens after `before`
earlier ones: n * (before + n / 2). Tensor parallelism divides every term by its degree and adds
two all-reduces a layer. `waves` is 1, or on cards that split the KV cache in waves what split_kv.py
says of a step that only decodes. Left out: padding to CUDA-graph sizes (not visible in the measured
runs).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from kvsim.compute.split_kv import wave_factor, wave_factors
from kvsim.spec import EngineSpec, GpuSpec, ModelSpec

Chunk = tuple[int, int]
"""A prefill chunk: (tokens already computed, tokens in this step)."""


class StepTime:
    """Give the GPU time of a step in seconds, for one model on `tensor_parallel_size` GPUs.

    `pcie_bandwidth` (bytes/s) is what ranks without NVLink exchange over.
    """

    def __init__(
        self,
        model: ModelSpec,
        gpu: GpuSpec,
        engine: EngineSpec,
        token_content: str,
        *,
        pcie_bandwidth: float = inf,
    ) -> None:
        degree = engine.tensor_parallel_size
        efficiency = gpu.efficiency
        linear = (
            efficiency.linear_repetitive
            if token_content == "repetitive"
            else efficiency.linear_diverse
        )
        self._model = model
        self._memory_bytes_per_s = gpu.hbm_bandwidth * efficiency.memory * degree
        self._overhead_s = model.num_hidden_layers * efficiency.layer_overhead
        self._token_s = 2 * model.linear_params_active / (gpu.peak_flops * linear * degree)
        if degree > 1:
            reduces = 2 * model.num_hidden_layers
            self._overhead_s += reduces * efficiency.all_reduce_latency
            moved = 2 * (degree - 1) / degree * model.hidden_size * 2
            self._token_s += reduces * moved / (gpu.nvlink_bandwidth or pcie_bandwidth)
        # MLA keeps one latent per token, which every rank holds and reads in full.
        kv_bytes_per_s = self._memory_bytes_per_s / (degree if model.is_mla else 1)
        attention_flops_per_s = gpu.peak_flops * efficiency.attention * degree
        self._context_s = model.kv_read_bytes_per_token / kv_bytes_per_s
        self._pair_s = model.attention_flops_per_pair / attention_flops_per_s
        self._kv_heads = max(1, model.num_key_value_heads // degree)
        self._num_sms = gpu.num_sms
        # MLA and sliding windows have kernels of their own.
        self.has_waves = gpu.splits_kv_in_waves and not model.is_mla and not model.sliding_window
        self._window = model.sliding_window
        if self._window:
            windowed_bytes = model.kv_bytes_per_token - model.kv_read_bytes_per_token
            self._window_context_s = windowed_bytes / kv_bytes_per_s
            windowed_flops = model.sliding_attention_flops_per_token / self._window
            self._window_pair_s = windowed_flops / attention_flops_per_s
        self._base_s: dict[int, float] = {}

    def base_s(self, tokens: int) -> float:
        """Give the part of a step that hangs on its number of tokens: weights, linear layers."""
        base_s = self._base_s.get(tokens)
        if base_s is None:
            weights_s = self._model.weights_read_bytes(tokens) / self._memory_bytes_per_s
            base_s = self._base_s[tokens] = weights_s + self._overhead_s + tokens * self._token_s
        return base_s

    def waves(self, contexts: Iterable[int]) -> float:
        """Give the factor on reading the KV of a step of decodes after so many tokens each."""
        if not self.has_waves:
            return 1.0
        return wave_factor(contexts, kv_heads=self._kv_heads, num_sms=self._num_sms)

    def context_s(self, decodes: int, context_tokens: int, waves: float = 1.0) -> float:
        """Give the time to read the KV of `decodes` contexts that sum to `context_tokens`."""
        if self._window:
            seen = min(context_tokens, decodes * self._window)
            return context_tokens * self._context_s + seen * self._window_context_s
        return context_tokens * (self._context_s * waves)

    def decodes_s(self, contexts: Sequence[int], num_steps: int) -> list[float]:
        """Give the times of `num_steps` steps that decode after `contexts`, each one longer."""
        decodes, tokens = len(contexts), sum(contexts)
        base_s = self.base_s(decodes)
        if self._window:
            sums = range(tokens, tokens + num_steps * decodes, decodes)
            return [base_s + self.context_s(decodes, tokens) for tokens in sums]
        if not self.has_waves:
            slope_s = self._context_s
            return [base_s + (tokens + step * decodes) * slope_s for step in range(num_steps)]
        times: list[float] = []
        for begin, end, waves in wave_factors(
            contexts, num_steps, kv_heads=self._kv_heads, num_sms=self._num_sms
        ):
            slope_s = self._context_s * waves
            times += [base_s + (tokens + step * decodes) * slope_s for step in range(begin, end)]
        return times

    def chunk_s(self, before: int, tokens: int) -> float:
        """Give the attention time of one prefill chunk."""
        flops_s = tokens * (before + tokens / 2) * self._pair_s
        if self._window:
            flops_s += tokens * min(before + tokens / 2, self._window) * self._window_pair_s
        return max(flops_s, self.context_s(1, before + tokens))

    def step_s(
        self, decodes: int, context_tokens: int, chunks: Iterable[Chunk], waves: float = 1.0
    ) -> float:
        """Give the time of a step of `decodes` decodes and any prefill chunks."""
        tokens = decodes
        attention_s = self.context_s(decodes, context_tokens, waves)
        for before, n in chunks:
            tokens += n
            attention_s += self.chunk_s(before, n)
        return self.base_s(tokens) + attention_s
