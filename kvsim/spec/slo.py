"""What the service promises."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from kvsim.errors import ConfigError
from kvsim.spec.base import Fraction, PositiveNumber, PositiveSeconds, Spec
from kvsim.spec.slo_grammar import parse_slo
from kvsim.units import format_seconds

LatencyMetric = Literal["ttft", "tpot", "itl", "e2e", "queue"]
RateMetric = Literal["request_throughput", "output_throughput", "total_token_throughput", "goodput"]
Stat = Literal["each", "mean", "quantile", "rate"]
Relation = Literal["<", "<=", ">", ">="]


class SloTarget(Spec):
    """One limit."""

    metric: LatencyMetric | RateMetric
    """What is limited: a latency of requests (s) or a rate of the whole service (1/s)."""
    stat: Stat
    """each: every request by itself; mean, quantile: over the requests (itl: over the tokens);
    rate: the metric is one number."""
    quantile: Fraction | None = None
    """Which quantile, with stat quantile (0.99 is p99)."""
    relation: Relation = "<="
    """How the value relates to the limit."""
    limit: PositiveNumber
    """The limit (s, or 1/s)."""

    @model_validator(mode="after")
    def _stat_fits(self) -> Self:
        if (self.stat == "quantile") != (self.quantile is not None):
            raise ConfigError("quantile: goes with stat quantile and only with it")
        if (self.stat == "rate") != (self.metric in RATES):
            raise ConfigError(f"stat: {self.stat} does not fit {self.metric}")
        if self.stat == "each" and self.relation in (">", ">="):
            raise ConfigError(f"{self.metric}: a latency of each request is limited from above")
        return self

    @property
    def label(self) -> str:
        """The target as the first grammar writes it, without its limit: ttft:p99."""
        match self.stat:
            case "quantile":
                assert self.quantile is not None
                return f"{self.metric}:p{100 * self.quantile:g}"
            case "mean":
                return f"{self.metric}:mean"
            case _:
                return self.metric

    def is_met(self, value: float) -> bool:
        """Tell whether a value keeps to the limit."""
        match self.relation:
            case "<":
                return value < self.limit
            case "<=":
                return value <= self.limit
            case ">":
                return value > self.limit
            case ">=":
                return value >= self.limit


RATES: tuple[str, ...] = (
    "request_throughput",
    "output_throughput",
    "total_token_throughput",
    "goodput",
)


class SloSpec(Spec):
    """A promise: limits that each request has to keep, and limits on the whole.

    May be written as a text in any of the three grammars of `slo_grammar`.
    """

    ttft: PositiveSeconds | None = None
    """Longest time to first token (s); none: no limit."""
    tpot: PositiveSeconds | None = None
    """Longest mean time per output token after the first (s); none: no limit."""
    quantile: Fraction = 0.95
    """Fraction of the requests that must meet the limits on each request."""
    targets: tuple[SloTarget, ...] = Field(default=(), max_length=100)
    """More limits."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        return {"targets": parse_slo(data)} if isinstance(data, str) else data

    @property
    def all_targets(self) -> tuple[SloTarget, ...]:
        """All limits in one list, those of `ttft` and `tpot` first."""
        own = [
            SloTarget(metric=metric, stat="each", limit=limit)
            for metric, limit in (("ttft", self.ttft), ("tpot", self.tpot))
            if limit is not None
        ]
        return (*own, *self.targets)

    @property
    def text(self) -> str:
        """The limits in the first grammar: ttft:p95<2s;itl:p95<50ms (without `quantile`)."""
        return ";".join(
            f"{target.label}{target.relation}"
            + (f"{target.limit:g}" if target.stat == "rate" else format_seconds(target.limit))
            for target in self.all_targets
        )
