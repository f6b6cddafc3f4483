"""What the service promises."""

from kvsim.spec.base import Fraction, PositiveSeconds, Spec


class SloSpec(Spec):
    """A promise on latency, kept when a quantile of the requests meets every limit given."""

    ttft: PositiveSeconds | None = None
    """Longest time to first token (s); none: no limit."""
    tpot: PositiveSeconds | None = None
    """Longest mean time per output token after the first (s); none: no limit."""
    quantile: Fraction = 0.95
    """Fraction of the requests that must meet the limits."""
