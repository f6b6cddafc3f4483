"""How requests are spread over the instances."""

from typing import Literal

from kvsim.spec.base import Count, PositiveSeconds, Spec

RouterName = Literal[
    "round_robin",
    "random",
    "least_loaded",
    "power_of_two",
    "session",
    "prefix_aware",
    "kv_aware",
    "llm_d",
]


class RoutingSpec(Spec):
    """Settings of the routers that have some."""

    kv_aware_threshold: Count = 2_000
    """kv_aware goes by session unless an instance has all but so many tokens of the prompt
    (production-stack's --kv-aware-threshold)."""
    kv_aware_chat: bool = False
    """Whether requests are chats, which production-stack's kvaware reads as empty prompts: they
    always go by session."""
    metrics_interval: PositiveSeconds = 0.05
    """Age at which llm_d reads the instances' metrics anew (s)."""
