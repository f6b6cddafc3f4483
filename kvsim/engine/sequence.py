"""A request while one engine serves it, and what one step does with it."""

from __future__ import annotations

from kvsim.cache.keys import Keys, Path
from kvsim.workload.request import Request

NEVER = 1 << 60


class Sequence:
    """The engine's view of a request: token counts as vLLM keeps them.

    `num_tokens` counts those whose text is known, the prompt and the answer so far (`num_output`);
    `num_computed` the tokens that steps scheduled so far cover; `placeholders` the sampled
    tokens that are still in flight; `prefill_end` is what an admission has to compute before the
    next token (prompt and, after a preemption, the answer so far); `local_tokens` and
    `external_tokens` are what that admission found in the GPU and in the connector's tiers;
    `store_at` is the count of computed tokens at which the next chunk is full and must be stored.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.request_id = request.request_id
        self.path: Path = request.path
        self.prompt_tokens = request.prompt_tokens
        self.max_tokens = request.output_tokens  # all that a server knows of the answer's length
        self.num_tokens = request.prompt_tokens
        self.num_computed = 0
        self.num_output = 0
        self.placeholders = 0
        self.prefill_end = 0
        self.local_tokens = 0
        self.external_tokens = 0
        self.store_at = NEVER
        self.saved_chunks = 0


class Load:
    """One retrieve: chunks from CPU memory and the remote tier for one request's blocks."""

    def __init__(
        self, sequence: Sequence, *, cpu_chunks: int, remote_keys: Keys, remote_chunks: int
    ) -> None:
        self.sequence = sequence
        self.cpu_chunks = cpu_chunks
        self.remote_keys = remote_keys
        self.remote_chunks = remote_chunks


class Step:
    """What one forward pass holds, and what must be done around it."""

    def __init__(self) -> None:
        self.decodes = 0
        self.context_tokens = 0
        self.chunks: list[tuple[int, int]] = []
        self.sampled: list[Sequence] = []
        self.admitted: list[Sequence] = []
        self.stores: list[Sequence] = []
        self.loads: list[Load] = []
        self.host_s = 0.0
        self.gpu_end_s = 0.0

    @property
    def is_empty(self) -> bool:
        """Say whether the step computes nothing."""
        return not self.decodes and not self.chunks
