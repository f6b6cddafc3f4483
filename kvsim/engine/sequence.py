"""A request while one engine serves it, and what one step does with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvsim.cache.keys import Keys, Path
from kvsim.workload.request import Request

NEVER = 1 << 60


@dataclass(slots=True, eq=False)
class Sequence:
    """The engine's view of a request: token counts as vLLM keeps them.

    `num_tokens` counts those whose text is known, the prompt and the answer so far (`num_output`);
    `num_computed` the tokens that steps scheduled so far cover; `placeholders` the sampled
    tokens that are still in flight; `prefill_end` is what an admission has to compute before the
    next token (prompt and, after a preemption, the answer so far); `local_tokens` and
    `external_tokens` are what that admission found in the GPU and in the connector's tiers;
    `store_at` is the count of computed tokens at which the next chunk is full and must be stored.
    """

    request: Request
    request_id: int
    path: Path
    prompt_tokens: int
    max_tokens: int
    num_tokens: int
    num_computed: int = 0
    num_output: int = 0
    placeholders: int = 0
    prefill_end: int = 0
    local_tokens: int = 0
    external_tokens: int = 0
    store_at: int = NEVER
    saved_chunks: int = 0

    @classmethod
    def of(cls, request: Request) -> Sequence:
        """Start serving a request; the server knows its answer's length as `max_tokens` only."""
        return cls(
            request,
            request.request_id,
            request.path,
            request.prompt_tokens,
            request.output_tokens,
            num_tokens=request.prompt_tokens,
        )


@dataclass(slots=True)
class Load:
    """One retrieve: chunks from CPU memory and the remote tier for one request's blocks."""

    sequence: Sequence
    cpu_chunks: int
    remote_keys: Keys
    remote_chunks: int


@dataclass(slots=True)
class Step:
    """What one forward pass holds, and what must be done around it."""

    decodes: int = 0
    context_tokens: int = 0
    chunks: list[tuple[int, int]] = field(default_factory=list)
    sampled: list[Sequence] = field(default_factory=list)
    admitted: list[Sequence] = field(default_factory=list)
    stores: list[Sequence] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    host_s: float = 0.0
    gpu_end_s: float = 0.0

    @property
    def is_empty(self) -> bool:
        """Say whether the step computes nothing."""
        return not self.decodes and not self.chunks
