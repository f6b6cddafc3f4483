"""How the figures of a summary are drawn: title, unit, scale, and which way is better."""

from dataclasses import dataclass
from numbers import Real
from typing import Final

from kvsim.report.style import tick
from kvsim.units import format_bytes, format_rate


@dataclass(frozen=True)
class Metric:
    """A column of a summary, or of a table of designs."""

    column: str
    title: str
    unit: str
    log: bool = False
    lower_is_better: bool = False

    @property
    def name(self) -> str:
        """The title as part of a sentence."""
        return f"{self.title[0].lower()}{self.title[1:]}"

    @property
    def axis(self) -> str:
        """Title of an axis that shows nothing else."""
        return f"{self.unit} (log scale)" if self.log else self.unit

    @property
    def label(self) -> str:
        """Name and unit, for axes that must tell what they show."""
        named = f"{self.title}, {self.unit}" if self.unit else self.title
        return f"{named} (log scale)" if self.log else named


def _wait(column: str, title: str) -> Metric:
    return Metric(column, title, "seconds", log=True, lower_is_better=True)


METRICS: Final = {
    metric.column: metric
    for metric in (
        Metric("finished_per_s", "Processing speed", "requests finished per second"),
        Metric("goodput_per_s", "Goodput", "requests/s within the promise"),
        Metric("slo_attainment", "Share of requests that keep the promise", "of 1"),
        Metric("attainment", "Share of requests that keep the promise", "of 1"),
        _wait("ttft_s_mean", "Mean time to first token"),
        _wait("ttft_s_p50", "Median time to first token"),
        _wait("ttft_s_p95", "Time to first token, p95"),
        _wait("ttft_s_p99", "Time to first token, p99"),
        _wait("e2e_s_mean", "Mean time to the whole answer"),
        Metric("queue_s_mean", "Mean wait in the queue", "seconds", lower_is_better=True),
        Metric("load_s_mean", "Mean time of loads from the tiers", "seconds", lower_is_better=True),
        Metric("tpot_s_mean", "Mean time per output token", "seconds", lower_is_better=True),
        Metric(
            "decode_tokens_per_s_mean", "Mean decode throughput per request", "tokens per second"
        ),
        Metric("tokens_per_s_per_user", "Speed that a user sees", "tokens per second"),
        Metric("tokens_per_s_per_gpu", "Output of a GPU", "tokens per second"),
        Metric("output_tokens_per_s", "Output", "tokens per second"),
        Metric("input_tokens_per_s", "Input", "tokens per second"),
        Metric("token_hit_rate", "Prompt tokens found in a cache", "of 1"),
        Metric("usd_per_hour", "Cost", "USD an hour", lower_is_better=True),
        Metric("usd_per_million_tokens", "Cost", "USD a million tokens", lower_is_better=True),
        Metric(
            "usd_per_million_input_tokens",
            "Cost of input",
            "USD a million tokens",
            lower_is_better=True,
        ),
        Metric(
            "usd_per_million_output_tokens",
            "Cost of output",
            "USD a million tokens",
            lower_is_better=True,
        ),
        Metric("sessions_mean", "Live sessions, mean", "sessions", lower_is_better=True),
    )
}


def metric_of(column: str) -> Metric:
    """Return how a column is drawn; one that nobody described goes by its own name."""
    return METRICS.get(column) or Metric(column, path_title(column), "")


def path_title(path: str) -> str:
    """Write the last keys of a dotted path in words."""
    for keys in (path.split(".")[-2:], path.split(".")[-1:]):
        known = _PATHS.get(".".join(keys))
        if known is not None:
            return known
    return path.rpartition(".")[2].replace("_", " ")


def path_value_text(path: str, value: object) -> str:
    """Write a value of a dotted path as short as an axis needs it, sizes and rates with units."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    value = float(value)
    match path.rpartition(".")[2]:
        case "capacity":
            return format_bytes(int(value))
        case "bandwidth":
            return format_rate(value)
        case _:
            return tick(value)


_PATHS: Final = {
    "user_history_prompt": "user context, tokens",
    "qps": "questions per second",
    "arrivals.rate": "sessions begun per second",
    "num_users": "users",
    "cpu.capacity": "CPU memory of a rank",
    "remote.capacity": "capacity of the store",
    "read.bandwidth": "read bandwidth of the store",
    "write.bandwidth": "write bandwidth of the store",
    "peak_flops": "peak FLOP/s",
}
