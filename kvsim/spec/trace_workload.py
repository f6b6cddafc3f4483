"""Workloads that replay a recorded trace, or one made up from a few numbers."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, model_validator

from kvsim.errors import ConfigError
from kvsim.spec.base import (
    Count,
    Number,
    PositiveCount,
    PositiveNumber,
    PositiveSeconds,
    Seconds,
    Spec,
)
from kvsim.spec.profiles import Roots

TraceFormat = Literal[
    "auto",
    "mooncake",
    "lmcache",
    "kv_cache_tester",
    "llmservingsim",
    "azure",
    "burstgpt",
    "sharegpt",
    "vllm_bench",
    "guidellm",
    "aiperf",
    "otel",
    "csv",
    "jsonl",
]
Share = Annotated[Number, Field(le=1)]


class ReplaySpec(Spec):
    """How requests that are known beforehand are sent."""

    mode: Literal["open", "closed"] = "open"
    """open: each request at its time, whatever the load; closed: each turn of a session after the
    answer to the one before and its think time."""
    rate_scale: PositiveNumber = 1.0
    """Factor on the arrival rate: times, in closed mode those of first turns, are divided by it."""
    user_scale: PositiveNumber = 1.0
    """Factor on the users: 2 sends every session twice, the second time with prefixes of its own;
    0.5 sends half of the sessions, drawn by the seed."""
    user_shift: Seconds = 1.0
    """Time by which each further copy of the sessions comes later (s)."""
    sessions: PositiveCount | None = None
    """Most sessions alive at a time in closed mode; the next begins when one ends. None: no limit."""
    think_scale: Number = 1.0
    """Factor on think times."""
    max_think: Seconds | None = None
    """Longest think time (s); none: as recorded."""
    max_prompt: PositiveCount | None = None
    """Longest prompt in tokens: a session ends before its first longer one; none: no limit."""
    answers: Literal["returned", "private"] = "returned"
    """returned: a next turn that repeats a prompt and is long enough holds its answer too, so that
    cached answers are hits; private: no prompt repeats an answer."""
    split_hashes: bool = False
    """Whether chunks may be finer than the hashes, which are then cut into equal parts."""
    time: PositiveSeconds | None = None
    """Time after which no more requests are sent (s); none: all are sent."""
    token_content: Literal["repetitive", "diverse"] = "diverse"
    """Whether prompts repeat one token, on which linear layers run faster."""

    @model_validator(mode="after")
    def _sessions_need_closed_mode(self) -> Self:
        if self.sessions is not None and self.mode == "open":
            raise ConfigError("sessions: counts only in mode: closed; set that or leave it out")
        return self

    @property
    def last_prompt_tokens(self) -> int | None:
        """Tokens of the longest prompt as far as the spec knows: its limit, else None."""
        return self.max_prompt


class TraceSpec(ReplaySpec):
    """Requests of a recorded trace."""

    kind: Literal["trace"] = "trace"
    """Kind of workload."""
    file: Path
    """The trace, a file or a folder."""
    format: TraceFormat = "auto"
    """Its format; auto: seen from its content."""
    strict: bool = False
    """Whether the first damaged row is an error; else they are left out and counted."""
    window: tuple[Seconds, Seconds] | None = None
    """Part of the trace that is sent: from and to (s of the trace's time)."""
    max_requests: PositiveCount | None = None
    """Only the first so many requests are sent."""
    session_rate: PositiveNumber | None = None
    """Sessions that begin per second, at random (Poisson), where the trace does not say when."""
    think: Seconds = 0.0
    """Think time where the trace does not name it (s)."""
    hash_tokens: PositiveCount | None = None
    """Tokens of one hash id (format mooncake; else 512)."""
    answer_tokens: PositiveCount | None = None
    """Length of all answers where the trace has none (format lmcache)."""
    chars_per_token: PositiveNumber = 4.0
    """Characters of a token where the trace is text (format sharegpt)."""
    part: Count | None = None
    """Which benchmark of a file with several, from 0 (format guidellm)."""

    @model_validator(mode="before")
    @classmethod
    def _beside_the_scenario(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(data, dict) and isinstance(info.context, Roots) and info.context.base:
            file = data.get("file")
            if isinstance(file, str) and (info.context.base / file).exists():
                return {**data, "file": info.context.base / file}
        return data

    @model_validator(mode="after")
    def _window_has_a_length(self) -> Self:
        if self.window is not None and self.window[0] >= self.window[1]:
            raise ConfigError(f"window: {self.window[0]:g} s to {self.window[1]:g} s is empty")
        return self


class Lengths(Spec):
    """Lengths or times that are log-normally distributed, cut off at both ends."""

    median: PositiveNumber
    """Half of the values are below."""
    sigma: Number
    """Standard deviation of the natural logarithm; 0: all values are the median."""
    least: Number = 1.0
    """Smaller values become this."""
    most: PositiveNumber = 1e6
    """Larger values become this."""


class PoissonArrivals(Spec):
    """Arrivals that know nothing of each other."""

    kind: Literal["poisson"] = "poisson"
    """Kind of arrivals."""
    rate: PositiveNumber
    """Mean arrivals per second."""


class GammaArrivals(Spec):
    """Gaps that are gamma distributed: bursts of independent gaps."""

    kind: Literal["gamma"] = "gamma"
    """Kind of arrivals."""
    rate: PositiveNumber
    """Mean arrivals per second."""
    cv: PositiveNumber
    """Standard deviation of a gap over its mean: 1 is Poisson, more is burstier."""


class MarkovArrivals(Spec):
    """Poisson arrivals whose rate switches between calm and burst (Markov-modulated)."""

    kind: Literal["markov"] = "markov"
    """Kind of arrivals."""
    rate: PositiveNumber
    """Mean arrivals per second over both states."""
    burst_factor: Annotated[PositiveNumber, Field(ge=1)]
    """Rate of a burst over that of the calm."""
    burst: PositiveSeconds
    """Mean length of a burst (s)."""
    calm: PositiveSeconds
    """Mean time between bursts (s)."""


class DiurnalArrivals(Spec):
    """Poisson arrivals whose rate follows the time of day, as a cosine."""

    kind: Literal["diurnal"] = "diurnal"
    """Kind of arrivals."""
    rate: PositiveNumber
    """Mean arrivals per second over a day."""
    amplitude: Share
    """How far the rate rises and falls, as a part of its mean."""
    period: PositiveSeconds = 86_400.0
    """Length of a day (s); shorten it to see a day in a short run."""
    peak: Seconds = 0.0
    """Time of the highest rate after the start (s)."""


Arrivals = Annotated[
    PoissonArrivals | GammaArrivals | MarkovArrivals | DiurnalArrivals,
    Field(discriminator="kind"),
]


class SyntheticSpec(ReplaySpec):
    """What all made-up workloads have: sessions that arrive during a time."""

    arrivals: Arrivals
    """When sessions begin."""
    duration: PositiveSeconds
    """Time during which sessions begin (s)."""
    hash_tokens: PositiveCount = 64
    """Grain to which shared text is known; texts are rounded to it, so take the smallest chunk."""
