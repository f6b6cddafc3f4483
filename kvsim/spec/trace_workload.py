"""Workloads that replay a recorded trace, or one made up from a few numbers."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ValidationInfo, model_validator

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
    """Most sessions alive at a time in closed mode, the next begins when one ends; none: any."""
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
