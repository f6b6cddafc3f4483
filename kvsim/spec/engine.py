"""How vLLM is set up; names are those of its flags."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from kvsim.spec.base import Fraction, PositiveCount, Spec, reject_bool


class EngineSpec(Spec):
    """The settings of one vLLM instance."""

    gpu_memory_utilization: Fraction = 0.92
    """Fraction of the GPU's memory that vLLM may use (--gpu-memory-utilization)."""
    max_num_batched_tokens: PositiveCount | None = None
    """Most tokens in one step (--max-num-batched-tokens); none: what vLLM takes for the card."""
    max_num_seqs: PositiveCount | None = None
    """Most requests in one step (--max-num-seqs); none: what vLLM takes for the card."""
    block_tokens: PositiveCount = 16
    """Tokens of a KV block (--block-size)."""
    max_model_len: PositiveCount | None = None
    """Longest prompt plus answer in tokens (--max-model-len); none: the model's limit."""
    num_gpu_blocks: PositiveCount | None = None
    """KV blocks, the null block included (--num-gpu-blocks-override); none: what memory allows."""
    tensor_parallel_size: Annotated[int, BeforeValidator(reject_bool), Field(ge=1, le=8)] = 1
    """GPUs that share each layer (--tensor-parallel-size)."""
    enable_prefix_caching: bool = True
    """Whether finished prefixes stay in the KV pool (--enable-prefix-caching)."""
    scheduling_policy: Literal["fcfs", "priority"] = "fcfs"
    """Who is served first (--scheduling-policy): fcfs, or priority: the lowest `priority` of a
    tenant first, of equals the first to arrive; when blocks run out, the last in this order is
    preempted. A waiting request never preempts a running one."""
    async_scheduling: Literal[True] = True
    """The next step is scheduled while one runs (--async-scheduling); nothing else is modelled."""
