"""When requests come and how long they are."""

from typing import Literal, Self

from pydantic import model_validator

from kvsim.errors import ConfigError
from kvsim.spec.base import Count, PositiveCount, PositiveNumber, PositiveSeconds, Seconds, Spec

_MOST_POLLS = 1e12
"""Polls of a span of time: beyond, floats of seconds cannot tell one poll from the next."""


class MultiRoundQaSpec(Spec):
    """LMCache's multi-round-qa.py: users who join at a fixed pace and talk in rounds.

    The first group of keys are its flags; the second describes the program and the tokenizer.
    """

    kind: Literal["multi_round_qa"] = "multi_round_qa"
    """Kind of workload."""
    num_users: PositiveCount
    """Users alive at a time when answers are fast (--num-users); joins never look at the load."""
    num_rounds: PositiveCount
    """Questions a user asks (--num-rounds)."""
    qps: PositiveNumber
    """Questions per second of all users together (--qps)."""
    shared_system_prompt: Count
    """Tokens of the system text that all users share (--shared-system-prompt)."""
    user_history_prompt: Count
    """Tokens of each user's own context (--user-history-prompt)."""
    answer_len: PositiveCount
    """Tokens of an answer (--answer-len)."""
    time: PositiveSeconds
    """Time after which no more questions are sent (--time, s)."""
    init_user_id: Count = 0
    """The first user has this id plus one (--init-user-id)."""
    enforce_strict_concurrent_users: bool = False
    """Whether joins wait while num_users are alive (--enforce-strict-concurrent-users)."""
    disable_ramp_up: bool = False
    """Whether the run starts with no half-way sessions (--disable-ramp-up)."""

    poll: PositiveSeconds = 0.1
    """Period of the driver's loop (s); real runs take 100.25 to 100.54 ms."""
    arrival_jitter: Seconds = 0.0
    """Largest delay added to each launch, uniform from 0 (s)."""
    token_content: Literal["repetitive", "diverse"] = "repetitive"
    """Whether prompts repeat one token, on which linear layers run faster."""
    prompt_overhead: Count = 31
    """Tokens of the first prompt beyond system text and context (template, question)."""
    question_tokens: Count = 21
    """Tokens by which a prompt grows each round besides the answer."""
    shared_overhead: Count = 11
    """Tokens after the system text that all users still share."""
    warmup_requests: Count = 10
    """Requests sent and answered before the run; not counted."""
    warmup_prompt: PositiveCount = 115
    """Tokens of a warm-up prompt."""
    warmup_answer: PositiveCount = 100
    """Tokens of a warm-up answer."""

    @model_validator(mode="after")
    def _polls_can_be_told_apart(self) -> Self:
        for name, span_s in (("time", self.time), ("num_users / qps", self.num_users / self.qps)):
            if span_s > _MOST_POLLS * self.poll:
                raise ConfigError(
                    f"poll: {name} is {span_s:.3g} s, more than {_MOST_POLLS:g} polls of "
                    f"{self.poll:.3g} s; poll more rarely, or shorten it"
                )
        return self

    @property
    def first_prompt_tokens(self) -> int:
        """Tokens of a user's first prompt."""
        return self.shared_system_prompt + self.user_history_prompt + self.prompt_overhead

    @property
    def last_prompt_tokens(self) -> int:
        """Tokens of the prompt of a user's last round, which holds all earlier rounds."""
        growth = self.answer_len + self.question_tokens
        return self.first_prompt_tokens + (self.num_rounds - 1) * growth
