"""Workloads made up from a few numbers: when sessions begin, and what they say."""

from typing import Annotated, Literal

from pydantic import Field

from kvsim.spec.base import (
    Count,
    Number,
    PositiveCount,
    PositiveNumber,
    PositiveSeconds,
    Seconds,
    Spec,
)
from kvsim.spec.trace_workload import ReplaySpec

Share = Annotated[Number, Field(le=1)]


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
    cv: Annotated[PositiveNumber, Field(ge=0.001, le=1000)]
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
    mode: Literal["open", "closed"] = "closed"
    """closed: each turn after the answer to the one before; open: at the times that answers of
    `nominal_speed` would give, whatever the load."""
    nominal_speed: PositiveNumber = 50.0
    """Tokens per second of answers, for the times of mode: open."""


class AgenticSpec(SyntheticSpec):
    """Coding agents: a growing context, pauses of tools and of people, contexts rewritten.

    Sessions are of two kinds, fresh ones and resumed ones, which begin with a long context and are
    shorter. The first turns grow faster than the others. Some sessions have a window in which the
    context must stay: what would exceed it is compacted. The defaults are fitted to the
    kv-cache-tester set (692 Claude Code sessions); docs/howto-traces.md has the errors.
    """

    kind: Literal["agentic"] = "agentic"
    """Kind of workload."""
    turns: Lengths = Lengths(median=66, sigma=0.7533, least=3.57, most=347.7)
    """Requests of a fresh session."""
    resumed_chance: Share = 0.3382
    """Part of the sessions that are resumed."""
    resumed_turns: Lengths = Lengths(median=22.5, sigma=0.8676, least=3, most=181)
    """Requests of a resumed session."""
    resumed_prompt: Lengths = Lengths(median=145_200, sigma=0.8513, least=71_210, most=819_300)
    """Tokens of a resumed session's first prompt, the shared ones included."""
    shared_prompt: PositiveCount = 14_991
    """Tokens of tools and system text that all sessions share (the set's median; that sessions
    share them is assumed: its ids do not tell)."""
    first_prompt: Lengths = Lengths(median=19_560, sigma=0.8316, least=9_811, most=68_290)
    """Tokens of a fresh session's first prompt, the shared ones included."""
    opening_turns: Count = 4
    """Turns after the first that grow by `opening_growth`."""
    opening_growth: Lengths = Lengths(median=1_011, sigma=1.871, least=111.9, most=50_170)
    """Tokens by which a prompt of the first turns is longer than the one before."""
    growth: Lengths = Lengths(median=646, sigma=1.279, least=109, most=12_510)
    """Tokens by which a later prompt is longer than the one before, the answer included."""
    window: PositiveCount | None = 159_000
    """Tokens that the context of some sessions may have; none: no session has a window."""
    window_chance: Share = 0.569
    """Part of the sessions that begin within the window and must stay there."""
    answer: Lengths = Lengths(median=217, sigma=1.105, least=57, most=3_678)
    """Tokens of an answer."""
    tool_pause: Lengths = Lengths(median=8, sigma=1.005, least=3, most=55)
    """Think time while a tool runs (s): the pauses up to a minute."""
    user_pause: Lengths = Lengths(median=176, sigma=1.666, least=62, most=7_839)
    """Think time of longer pauses, mostly of a person (s)."""
    user_pause_chance: Share = 0.1959
    """Part of the turns that come after a longer pause."""
    rewrite_chance: Share = 0.01813
    """Part of the turns, those that the window compacts aside, whose prompt keeps only the
    beginning of the one before."""
    rewrite_keeps: PositiveCount = 15_000
    """Tokens that such a prompt keeps."""
    shrink_chance: Share = 0.08856
    """Part of these rewritten prompts that are shorter: the context was compacted."""
    shrink_factor: Share = 0.2703
    """Length of a compacted prompt over the one before, also where the window compacts it."""


class RagSpec(SyntheticSpec):
    """Questions about shared documents: each prompt is a system text, a document, a question.

    The defaults are fitted to Mooncake's synthetic trace, which is built from public data sets.
    """

    kind: Literal["rag"] = "rag"
    """Kind of workload."""
    shared_prompt: PositiveCount = 512
    """Tokens of the system text that all prompts share (assumed)."""
    documents: PositiveCount = 1_026
    """Documents that there are."""
    popularity: Number = 0.5285
    """A document's chance is its rank to the minus this (Zipf); 0: all are equal."""
    document: Lengths = Lengths(median=20_480, sigma=0.5789, least=1_459, most=66_120)
    """Tokens of a document."""
    documents_per_prompt: PositiveCount = 1
    """Documents in a prompt, one after the other: only an equal beginning is shared."""
    question: Lengths = Lengths(median=440, sigma=0.795, least=36, most=2_159)
    """Tokens of a question."""
    answer: Lengths = Lengths(median=10.5, sigma=2.047, least=2, most=440)
    """Tokens of an answer."""


class ChatSpec(SyntheticSpec):
    """Conversations of people with ShareGPT-like lengths.

    Lengths are fitted to LLMServingSim's ShareGPT file (300 conversations); rounds, pauses and
    follow-up questions to Mooncake's conversation trace, whose hour cuts long conversations off.
    """

    kind: Literal["chat"] = "chat"
    """Kind of workload."""
    shared_prompt: Annotated[int, Field(ge=0)] = 0
    """Tokens of a system text that all conversations share, part of the first prompt."""
    rounds_mean: Annotated[PositiveNumber, Field(ge=1)] = 1.493
    """Mean rounds of a conversation (geometric)."""
    first_prompt: Lengths = Lengths(median=654.5, sigma=0.5733, least=264, most=2_801)
    """Tokens of the first prompt."""
    question: Lengths = Lengths(median=37, sigma=3.807, least=4, most=17_790)
    """Tokens of a follow-up question."""
    answer: Lengths = Lengths(median=632, sigma=0.1541, least=516, most=784)
    """Tokens of an answer."""
    pause: Lengths = Lengths(median=126, sigma=1.044, least=12, most=1_471)
    """Time from one question to the next in the trace (s), taken as think time."""


AnySyntheticSpec = AgenticSpec | RagSpec | ChatSpec
