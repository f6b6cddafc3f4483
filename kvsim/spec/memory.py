"""How many KV blocks fit a GPU, as vLLM's start-up finds by measuring.

pool = memory · utilisation - weights - activation peak - memory_overhead, per rank. The activation
peak is what vLLM's profile run shows: the larger of one layer's feed-forward intermediates at
max_num_batched_tokens and the logits of max_num_seqs requests.
"""

from kvsim.spec.engine import EngineSpec
from kvsim.spec.gpu import GpuSpec
from kvsim.spec.model import ModelSpec

_ACTIVATION_BYTES = 2  # bf16
_LOGIT_BYTES = 2 + 4  # bf16 from the output layer, fp32 for the sampler


def step_limits(gpu: GpuSpec, engine: EngineSpec) -> tuple[int, int]:
    """Return max_num_batched_tokens and max_num_seqs in force.

    Where the engine does not say, the card's class does; vLLM then keeps the number of requests
    at or below the number of tokens.
    """
    tokens = engine.max_num_batched_tokens or gpu.max_num_batched_tokens
    seqs = engine.max_num_seqs or min(gpu.max_num_seqs, tokens)
    return tokens, seqs


def activation_peak_bytes(model: ModelSpec, gpu: GpuSpec, engine: EngineSpec) -> int:
    """Estimate the peak of activations during vLLM's profile run, per rank.

    A layer holds gate, up and their product (three intermediates) beside four hidden-size
    buffers; an expert layer holds them for every expert a token visits, and each one's output.
    Ranks divide the intermediates, not the hidden states nor the gathered logits.
    """
    tokens, seqs = step_limits(gpu, engine)
    ranks = engine.tensor_parallel_size
    widths = [3 * model.intermediate_size / ranks]
    if model.is_moe:
        expert = 3 * model.moe_intermediate_size / ranks + model.hidden_size
        widths = [model.num_experts_per_tok * expert]
        if model.first_k_dense_replace:
            widths.append(3 * model.intermediate_size / ranks)
    layer = tokens * _ACTIVATION_BYTES * (max(widths) + 4 * model.hidden_size)
    logits = seqs * model.vocab_size * _LOGIT_BYTES
    return round(max(layer, logits))


def block_bytes(model: ModelSpec, engine: EngineSpec) -> int:
    """Return the bytes of one KV block on one rank."""
    return model.kv_bytes_per_token_per_rank(engine.tensor_parallel_size) * engine.block_tokens


def kv_pool_bytes(model: ModelSpec, gpu: GpuSpec, engine: EngineSpec) -> int:
    """Return the bytes left for KV on one rank; negative when the weights do not fit."""
    weights = -(-model.weights_bytes // engine.tensor_parallel_size)
    activations = activation_peak_bytes(model, gpu, engine)
    allowed = int(gpu.memory * engine.gpu_memory_utilization)
    return allowed - weights - activations - gpu.memory_overhead


def kv_pool_blocks(model: ModelSpec, gpu: GpuSpec, engine: EngineSpec) -> int:
    """Return vLLM's num_gpu_blocks: `engine.num_gpu_blocks` if given, else what memory allows.

    One of them is the null block, so a request finds at most this number minus one.
    """
    if engine.num_gpu_blocks is not None:
        return engine.num_gpu_blocks
    return max(0, kv_pool_bytes(model, gpu, engine) // block_bytes(model, engine))
