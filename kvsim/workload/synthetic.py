"""Make up a trace: coding agents, questions about documents, chats, arriving in any rhythm.

The result is a `Trace` with hash ids, so whatever works on a recorded workload works on these.
Every session draws from a stream of its own: more sessions leave the earlier ones as they are.
"""

from __future__ import annotations

import math
from typing import assert_never

import numpy as np

from kvsim.errors import ConfigError
from kvsim.spec.synthetic_workload import (
    AgenticSpec,
    AnySyntheticSpec,
    Arrivals,
    ChatSpec,
    Lengths,
    RagSpec,
)
from kvsim.workload.chance import stream
from kvsim.workload.traces.build import TraceBuilder
from kvsim.workload.traces.trace import Floats, Ints, Trace


def generate(spec: AnySyntheticSpec, seed: int) -> Trace:
    """Make up the trace of a spec; equal seeds give equal traces."""
    starts_s = arrivals(spec.arrivals, spec.duration, seed)
    if not starts_s.size:
        raise ConfigError(
            f"workload.duration: no session begins within {spec.duration:g} s at "
            f"{spec.arrivals.rate:g} per second; lengthen it or raise the rate"
        )
    texts = _Texts(spec.hash_tokens)
    builder = TraceBuilder(spec.kind, "synthetic", hash_tokens=spec.hash_tokens, strict=True)
    match spec:
        case AgenticSpec():
            _agents(spec, starts_s, seed, texts, builder)
        case RagSpec():
            _questions(spec, starts_s, seed, texts, builder)
        case ChatSpec():
            _chats(spec, starts_s, seed, texts, builder)
        case _:
            assert_never(spec)
    builder.use_ids(texts.ids())
    return builder.build()


def arrivals(spec: Arrivals, duration_s: float, seed: int) -> Floats:
    """Draw the instants within `[0, duration_s)` at which sessions begin."""
    rng = stream(seed, "arrivals")
    match spec.kind:
        case "poisson":
            return _renewals(rng, spec.rate, 1.0, duration_s)
        case "gamma":
            return _renewals(rng, spec.rate, spec.cv, duration_s)
        case "markov":
            burst_part = spec.burst / (spec.burst + spec.calm)
            calm_rate = spec.rate / (1 + burst_part * (spec.burst_factor - 1))
            rates = (calm_rate, calm_rate * spec.burst_factor)
            state = int(rng.random() < burst_part)
            now_s, parts = 0.0, []
            while now_s < duration_s:
                stay_s = float(rng.exponential(spec.burst if state else spec.calm))
                end_s = min(duration_s, now_s + stay_s)
                count = int(rng.poisson(rates[state] * (end_s - now_s)))
                parts.append(np.sort(rng.uniform(now_s, end_s, count)))
                now_s, state = now_s + stay_s, 1 - state
            return np.concatenate(parts)
        case "diurnal":
            highest = spec.rate * (1 + spec.amplitude)
            times_s = _renewals(rng, highest, 1.0, duration_s)
            angle = 2 * np.pi * (times_s - spec.peak) / spec.period
            rate = spec.rate * (1 + spec.amplitude * np.cos(angle))
            kept: Floats = times_s[rng.random(times_s.size) * highest < rate]
            return kept
        case _:
            assert_never(spec.kind)


def draw(lengths: Lengths, rng: np.random.Generator) -> float:
    """Draw one value."""
    value = lengths.median * float(np.exp(lengths.sigma * rng.standard_normal()))
    return min(max(value, lengths.least), lengths.most)


def draw_tokens(lengths: Lengths, rng: np.random.Generator) -> int:
    """Draw a whole number of tokens, at least one."""
    return max(1, round(draw(lengths, rng)))


class _Texts:
    """Hash ids of growing texts in one array, in which every prompt is a span."""

    def __init__(self, grain: int) -> None:
        self.grain = grain
        self._parts: list[Ints] = []
        self._size = 0
        self._next_id = 0

    def fresh(self, tokens: int) -> Ints:
        """Return new ids for the full blocks of so many tokens."""
        blocks = tokens // self.grain
        self._next_id += blocks
        return np.arange(self._next_id - blocks, self._next_id, dtype=np.int64)

    def add(self, ids: Ints) -> int:
        """Append a text and return where it starts."""
        self._parts.append(ids)
        self._size += ids.size
        return self._size - int(ids.size)

    def ids(self) -> Ints:
        return np.concatenate(self._parts)


def _agents(
    spec: AgenticSpec, starts_s: Floats, seed: int, texts: _Texts, builder: TraceBuilder
) -> None:
    shared = texts.fresh(spec.shared_prompt)
    for index, start_s in enumerate(starts_s.tolist()):
        rng = stream(seed, "session", index)
        resumed = rng.random() < spec.resumed_chance
        first = spec.resumed_prompt if resumed else spec.first_prompt
        prompt = max(draw_tokens(first, rng), spec.shared_prompt)
        window = math.inf
        if spec.window is not None and prompt <= spec.window:
            window = spec.window if rng.random() < spec.window_chance else math.inf
        kept = shared
        pending: _Pending = []
        now_s, pause_s = start_s, 0.0
        for turn in range(draw_tokens(spec.resumed_turns if resumed else spec.turns, rng)):
            answer = draw_tokens(spec.answer, rng)
            if turn:
                is_user = rng.random() < spec.user_pause_chance
                pause_s = draw(spec.user_pause if is_user else spec.tool_pause, rng)
                now_s += pause_s
                opening = turn <= spec.opening_turns
                growth = draw_tokens(spec.opening_growth if opening else spec.growth, rng)
                full = prompt + growth > window
                if full or rng.random() < spec.rewrite_chance:
                    text = _flush(texts, builder, kept, pending)
                    keeps = min(spec.rewrite_keeps, prompt) // texts.grain
                    kept = text[:keeps] if keeps > shared.size else shared
                    if full or rng.random() < spec.shrink_chance:
                        prompt = max(spec.shared_prompt, int(prompt * spec.shrink_factor))
                    pending = []
                else:
                    prompt += growth
            pending.append((now_s, prompt, answer, pause_s, f"agent {index}"))
            now_s += answer / spec.nominal_speed
        _flush(texts, builder, kept, pending)


_Pending = list[tuple[float, int, int, float, str]]


def _flush(
    texts: _Texts,
    builder: TraceBuilder,
    kept: Ints,
    pending: _Pending,
) -> Ints:
    """Write the prompts of one growing text, each a beginning of the longest; return that one."""
    longest = max(prompt for _, prompt, *_ in pending) // texts.grain
    new = texts.fresh(max(0, longest - kept.size) * texts.grain)
    text: Ints = np.concatenate((kept[:longest], new))
    start = texts.add(text)
    for now_s, prompt, answer, pause_s, session in pending:
        builder.add(
            time_s=now_s,
            prompt_tokens=prompt,
            output_tokens=answer,
            session=session,
            think_time_s=pause_s,
            hash_span=(start, prompt // texts.grain),
        )
    return text


def _questions(
    spec: RagSpec, starts_s: Floats, seed: int, texts: _Texts, builder: TraceBuilder
) -> None:
    library = stream(seed, "documents")
    grain = texts.grain
    shared = texts.fresh(spec.shared_prompt)
    # Whole blocks: what a block shares with another prompt must not depend on its neighbour.
    sizes = [
        max(1, round(draw(spec.document, library) / grain)) * grain for _ in range(spec.documents)
    ]
    documents = [texts.fresh(size) for size in sizes]
    chances = np.arange(1, spec.documents + 1, dtype=np.float64) ** -spec.popularity
    chances /= chances.sum()
    followed: dict[tuple[int, ...], Ints] = {}
    for index, start_s in enumerate(starts_s.tolist()):
        rng = stream(seed, "session", index)
        count = min(spec.documents_per_prompt, spec.documents)
        chosen = tuple(rng.choice(spec.documents, size=count, replace=False, p=chances).tolist())
        parts = [shared]
        for depth in range(1, count + 1):
            # A document after others is other text: its ids hang on what stands before it.
            before = chosen[:depth]
            if depth == 1:
                parts.append(documents[before[0]])
            else:
                found = followed.get(before)
                if found is None:
                    found = followed[before] = texts.fresh(sizes[before[-1]])
                parts.append(found)
        head = np.concatenate(parts)
        prompt = int(head.size) * grain + draw_tokens(spec.question, rng)
        ids = np.concatenate((head, texts.fresh(prompt - head.size * grain)))
        builder.add(
            time_s=start_s,
            prompt_tokens=prompt,
            output_tokens=draw_tokens(spec.answer, rng),
            session=f"question {index}",
            think_time_s=0.0,
            hash_span=(texts.add(ids), int(ids.size)),
        )


def _chats(
    spec: ChatSpec, starts_s: Floats, seed: int, texts: _Texts, builder: TraceBuilder
) -> None:
    shared = texts.fresh(spec.shared_prompt)
    for index, start_s in enumerate(starts_s.tolist()):
        rng = stream(seed, "session", index)
        prompt = max(spec.shared_prompt, draw_tokens(spec.first_prompt, rng))
        now_s, pause_s = start_s, 0.0
        pending: _Pending = []
        for turn in range(int(rng.geometric(1 / spec.rounds_mean))):
            if turn:
                pause_s = draw(spec.pause, rng)
                now_s += pause_s
                prompt += draw_tokens(spec.question, rng)
            answer = draw_tokens(spec.answer, rng)
            pending.append((now_s, prompt, answer, pause_s, f"chat {index}"))
            prompt += answer
            now_s += answer / spec.nominal_speed
        _flush(texts, builder, shared, pending)


def _renewals(rng: np.random.Generator, rate: float, cv: float, duration_s: float) -> Floats:
    """Draw instants whose gaps are gamma distributed (exponential for cv 1)."""
    shape = 1 / cv**2
    parts: list[Floats] = []
    now_s = 0.0
    while now_s < duration_s:
        wanted = int(rate * (duration_s - now_s) * 1.1) + 100
        times_s = now_s + np.cumsum(rng.gamma(shape, 1 / (rate * shape), wanted))
        parts.append(times_s)
        now_s = float(times_s[-1])
    times_s = np.concatenate(parts)
    kept: Floats = times_s[times_s < duration_s]
    return kept
