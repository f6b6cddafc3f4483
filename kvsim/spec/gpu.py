"""Which card computes: its ceilings, and what fraction of them real kernels reach."""

from kvsim.spec.base import (
    Bytes,
    Fraction,
    Number,
    PositiveBytes,
    PositiveCount,
    PositiveFlops,
    PositiveRate,
    Profile,
    Rate,
    Seconds,
    Spec,
)


class GpuEfficiency(Spec):
    """The fraction of the card's ceilings that vLLM's kernels reach."""

    linear_repetitive: Fraction
    """Linear layers on repeated tokens (multi-round QA's "hi hi hi"): fraction of peak FLOPs."""
    linear_diverse: Fraction
    """Linear layers on diverse tokens; a GEMM's power, and so its clock, depends on its data."""
    attention: Fraction
    """Prefill attention: fraction of peak FLOPs."""
    memory: Fraction
    """Reading weights and KV cache: fraction of the memory bandwidth."""
    layer_overhead: Seconds
    """Fixed time a layer and step (s): launches, norms, small kernels."""
    all_reduce_latency: Seconds
    """Fixed time of one all-reduce between tensor-parallel ranks (s)."""


class GpuSpec(Profile):
    """One GPU."""

    memory: PositiveBytes
    """Memory as PyTorch sees it (bytes), which is a little less than on the label."""
    peak_flops: PositiveFlops
    """Peak bf16 tensor speed without sparsity (FLOP/s)."""
    hbm_bandwidth: PositiveRate
    """Peak memory bandwidth (bytes/s)."""
    num_sms: PositiveCount
    """Streaming multiprocessors."""
    splits_kv_in_waves: bool = False
    """Decode attention splits its KV into items that fill the multiprocessors in waves: measured
    for FlashAttention 3, which vLLM runs on Hopper cards."""
    nvlink_bandwidth: Rate
    """NVLink bandwidth per direction (bytes/s); 0: PCIe only."""
    max_num_batched_tokens: PositiveCount
    """What vLLM's API server takes for this class of card (--max-num-batched-tokens)."""
    max_num_seqs: PositiveCount
    """What vLLM's API server takes for this class of card (--max-num-seqs)."""
    usd_per_hour: Number
    """Price of an hour (USD)."""
    efficiency: GpuEfficiency
    """The fraction of the ceilings that kernels reach."""
    memory_overhead: Bytes
    """Memory that is neither weights, activations nor KV cache (bytes): CUDA context, graphs."""
