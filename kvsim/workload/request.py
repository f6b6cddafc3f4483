"""One user turn on its way through the system, as data.

The client's side fills the first part, the engine and its tiers the rest. What
a server cannot know before the answer ends (`output_tokens`) is for the engine's
own bookkeeping only: router and scheduler must not read it.
"""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["waiting", "running", "finished", "rejected", "failed"]

NO_END = 1 << 62
"""End of the last node of a path: a position that no prompt reaches."""


@dataclass(slots=True)
class Request:
    """One request; instants are seconds on the simulation's clock, None until they happen."""

    request_id: int
    """Counts up in the order in which requests reach the router."""
    session_id: int
    """The user id that the client sends; negative for warm-up requests, which send none."""
    round_index: int
    """How-manieth request of its session in this run, from 1."""
    prompt_tokens: int
    output_tokens: int
    """Length of the answer, known to the engine's side only."""
    path: tuple[tuple[int, int], ...]
    """What the prompt says: (node id, end token) in order, the last end being `NO_END`.

    Two prompts agree up to the end of the last node that their paths share.
    """
    warmup: bool
    arrival_s: float
    """The client launches the request."""

    instance: int | None = None
    engine_s: float | None = None
    """The engine core has the tokens."""
    scheduled_s: float | None = None
    """First put into a step."""
    first_token_s: float | None = None
    """The client has the first token."""
    finished_s: float | None = None
    """The client has the last byte."""
    load_s: float = 0.0
    """Time stalled on loads of KV."""
    computed_tokens: int = 0
    hit_tokens_hbm: int = 0
    hit_tokens_cpu: int = 0
    hit_tokens_remote: int = 0
    recomputed_elsewhere_tokens: int = 0
    """Computed although another instance had computed them before."""
    recomputed_evicted_tokens: int = 0
    """Computed although this instance had computed them before."""
    preemptions: int = 0
    tenant: str | None = None
    """Who sends it, where tenants are told apart."""
    priority: int = 0
    """The lower, the earlier, under the scheduling policy of that name."""
    outcome: Outcome = "waiting"
