"""Which model is served: its shape, and what follows from the shape alone.

Covers dense, mixture-of-experts, grouped-query and latent (MLA) attention. Left out: biases
(below 0.1 % of the weights), multi-token prediction, vision towers.
"""

from functools import cached_property
from typing import Self

from pydantic import model_validator

from kvsim.errors import ConfigError
from kvsim.spec.base import Count, PositiveCount, PositiveNumber, Profile


class ModelSpec(Profile):
    """The shape of a transformer; field names are those of Hugging Face's config.json."""

    num_hidden_layers: PositiveCount
    """Transformer layers."""
    hidden_size: PositiveCount
    """Width of the residual stream."""
    num_attention_heads: PositiveCount
    """Query heads."""
    num_key_value_heads: PositiveCount
    """Key and value heads (grouped-query attention)."""
    head_dim: PositiveCount
    """Width of one head."""
    intermediate_size: PositiveCount
    """Width of the dense feed-forward layers."""
    vocab_size: PositiveCount
    """Tokens in the vocabulary."""
    tie_word_embeddings: bool = False
    """Whether the input embedding is also the output layer."""
    max_position_embeddings: PositiveCount
    """Longest context in tokens."""
    weight_bytes_per_param: PositiveNumber = 2.0
    """Bytes of a weight (2: bf16, 1: fp8)."""
    expert_bytes_per_param: PositiveNumber | None = None
    """Bytes of an expert's weight where it differs (0.53125: mxfp4); none: as the others."""
    kv_bytes_per_element: PositiveNumber = 2.0
    """Bytes of a KV-cache element (2: bf16, 1: fp8)."""
    num_experts: Count = 0
    """Routed experts of a mixture-of-experts layer; 0: a dense model."""
    num_experts_per_tok: Count = 0
    """Routed experts that a token visits."""
    moe_intermediate_size: Count = 0
    """Width of one expert."""
    num_shared_experts: Count = 0
    """Experts that every token visits."""
    first_k_dense_replace: Count = 0
    """Leading layers that are dense in a mixture-of-experts model."""
    kv_lora_rank: Count = 0
    """Width of the latent KV vector (MLA); 0: no MLA."""
    q_lora_rank: Count = 0
    """Width of the latent query vector (MLA); 0: full-rank queries."""
    qk_rope_head_dim: Count = 0
    """Width of the rotary part of a head (MLA)."""
    qk_nope_head_dim: Count = 0
    """Width of the non-rotary part of a query head (MLA)."""
    v_head_dim: Count = 0
    """Width of a value head (MLA)."""
    sliding_window: Count = 0
    """Tokens that a sliding-window layer sees; 0: no such layers."""
    num_sliding_layers: Count = 0
    """Layers with a sliding window."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads {self.num_key_value_heads}"
            )
        if self.num_experts and not (self.moe_intermediate_size and self.num_experts_per_tok):
            raise ConfigError("num_experts needs moe_intermediate_size and num_experts_per_tok")
        if self.num_experts_per_tok > self.num_experts:
            raise ConfigError(
                f"num_experts_per_tok {self.num_experts_per_tok} exceeds num_experts "
                f"{self.num_experts}"
            )
        if self.first_k_dense_replace > self.num_hidden_layers:
            raise ConfigError("first_k_dense_replace exceeds num_hidden_layers")
        if self.num_sliding_layers > self.num_hidden_layers:
            raise ConfigError("num_sliding_layers exceeds num_hidden_layers")
        if bool(self.num_sliding_layers) != bool(self.sliding_window):
            raise ConfigError("sliding_window and num_sliding_layers go together")
        if self.kv_lora_rank and not (
            self.qk_rope_head_dim and self.qk_nope_head_dim and self.v_head_dim
        ):
            raise ConfigError(
                "kv_lora_rank (MLA) needs qk_rope_head_dim, qk_nope_head_dim and v_head_dim"
            )
        return self

    @property
    def is_moe(self) -> bool:
        """Tell whether layers have experts."""
        return self.num_experts > 0

    @property
    def is_mla(self) -> bool:
        """Tell whether attention keeps one latent vector a token in place of keys and values."""
        return self.kv_lora_rank > 0

    @property
    def num_moe_layers(self) -> int:
        """Layers with experts."""
        return self.num_hidden_layers - self.first_k_dense_replace if self.is_moe else 0

    @property
    def num_full_attention_layers(self) -> int:
        """Layers that see the whole context."""
        return self.num_hidden_layers - self.num_sliding_layers

    @property
    def kv_bytes_per_token(self) -> int:
        """KV-cache bytes of one token, all layers and heads.

        2 · layers · kv_heads · head_dim · element, or layers · (kv_lora_rank + qk_rope_head_dim) ·
        element for MLA. Sliding-window layers count in full, as LMCache stores them.
        """
        return self.kv_bytes_per_token_per_rank(1)

    def kv_bytes_per_token_per_rank(self, tensor_parallel_size: int) -> int:
        """KV-cache bytes of one token on one rank.

        Heads are divided among the ranks, but a head is never cut (more ranks than heads hold
        copies) and the latent vector of MLA is on every rank.
        """
        if self.is_mla:
            elements = self.num_hidden_layers * (self.kv_lora_rank + self.qk_rope_head_dim)
        else:
            heads = max(1, self.num_key_value_heads // tensor_parallel_size)
            elements = 2 * self.num_hidden_layers * heads * self.head_dim
        return round(elements * self.kv_bytes_per_element)

    @property
    def kv_read_bytes_per_token(self) -> int:
        """KV-cache bytes that decoding reads for each token of a long context.

        As `kv_bytes_per_token`, without the sliding-window layers, whose reads do not grow.
        """
        return self.kv_bytes_per_token * self.num_full_attention_layers // self.num_hidden_layers

    @property
    def attention_params_per_layer(self) -> int:
        """Weights of the attention projections of one layer."""
        hidden, heads = self.hidden_size, self.num_attention_heads
        if self.is_mla:
            qk_dim = self.qk_nope_head_dim + self.qk_rope_head_dim
            rank = self.q_lora_rank
            query = hidden * rank + rank * heads * qk_dim if rank else hidden * heads * qk_dim
            down = hidden * (self.kv_lora_rank + self.qk_rope_head_dim)
            up = self.kv_lora_rank * heads * (self.qk_nope_head_dim + self.v_head_dim)
            return query + down + up + heads * self.v_head_dim * hidden
        return 2 * hidden * self.head_dim * (heads + self.num_key_value_heads)

    @property
    def expert_params(self) -> int:
        """Weights of one routed expert (gate, up, down)."""
        return 3 * self.hidden_size * self.moe_intermediate_size

    @property
    def routed_params(self) -> int:
        """Weights of all routed experts of all layers."""
        return self.num_moe_layers * self.num_experts * self.expert_params

    @cached_property
    def dense_linear_params(self) -> int:
        """Weights that every token meets, all layers.

        Attention, dense feed-forward layers, shared experts and the routers' gates.
        """
        dense_layers = self.num_hidden_layers - self.num_moe_layers
        return (
            self.num_hidden_layers * self.attention_params_per_layer
            + dense_layers * 3 * self.hidden_size * self.intermediate_size
            + self.num_moe_layers
            * (self.num_shared_experts * self.expert_params + self.hidden_size * self.num_experts)
        )

    @cached_property
    def linear_params_active(self) -> int:
        """Weights that one token meets: no embedding, no output layer, only its own experts."""
        routed = self.num_moe_layers * self.num_experts_per_tok * self.expert_params
        return self.dense_linear_params + routed

    @property
    def lm_head_params(self) -> int:
        """Weights of the output layer."""
        return self.hidden_size * self.vocab_size

    @property
    def num_params(self) -> int:
        """All weights: linear layers, norms, embedding and (unless tied) the output layer."""
        norms = self.hidden_size * (2 * self.num_hidden_layers + 1)
        embeddings = self.lm_head_params * (1 if self.tie_word_embeddings else 2)
        return self.dense_linear_params + self.routed_params + norms + embeddings

    @property
    def expert_bytes(self) -> float:
        """Bytes of one expert's weight."""
        given = self.expert_bytes_per_param
        return self.weight_bytes_per_param if given is None else given

    @cached_property
    def weights_bytes(self) -> int:
        """Bytes of all weights in GPU memory."""
        others = (self.num_params - self.routed_params) * self.weight_bytes_per_param
        return round(others + self.routed_params * self.expert_bytes)

    def weights_read_bytes(self, tokens: int) -> float:
        """Bytes of weights that one forward pass over `tokens` tokens reads.

        Dense part and output layer once, and of each layer's E experts the expected number that
        at least one token visits: E · (1 - (1 - k/E)^tokens). The input embedding is a look-up.
        """
        dense = (self.dense_linear_params + self.lm_head_params) * self.weight_bytes_per_param
        if not self.is_moe or tokens <= 0:
            return dense
        missed = (1.0 - self.num_experts_per_tok / self.num_experts) ** tokens
        return dense + self.routed_params * (1.0 - missed) * self.expert_bytes

    @property
    def attention_flops_per_pair(self) -> int:
        """FLOP of attention for one (query token, earlier token) pair, all layers and heads.

        4 · layers · heads · head_dim, or for MLA, whose prefill expands the latent to plain heads,
        2 · layers · heads · (qk_nope_head_dim + qk_rope_head_dim + v_head_dim). Layers with a
        sliding window do not count: their work a token is bounded
        (`sliding_attention_flops_per_token`).
        """
        heads = self.num_full_attention_layers * self.num_attention_heads
        if self.is_mla:
            return 2 * heads * (self.qk_nope_head_dim + self.qk_rope_head_dim + self.v_head_dim)
        return 4 * heads * self.head_dim

    @property
    def sliding_attention_flops_per_token(self) -> int:
        """FLOP of one token in all sliding-window layers, once the window is full."""
        width = self.num_attention_heads * self.head_dim * self.sliding_window
        return 4 * self.num_sliding_layers * width

    def chunk_flops(self, chunk_tokens: int, place: int) -> float:
        """FLOP that compute chunk number `place` of a prompt, whose tokens see all before them."""
        seen = place * chunk_tokens + (chunk_tokens + 1) / 2
        per_token = 2 * self.linear_params_active + seen * self.attention_flops_per_pair
        return chunk_tokens * per_token
