"""Load or recompute: from which context length on loading KV gives the first token sooner.

Closed form (`first_token`) over all context lengths that are whole chunks, checked at a few points
by simulation (`one_request`). Compared are a request whose context is in a tier, and the same
request computed by vLLM alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kvsim.errors import ConfigError, SimulationError
from kvsim.plan.first_token import FirstToken, Parts, Store
from kvsim.plan.one_request import simulate_first_token
from kvsim.spec.load import load_profile
from kvsim.spec.profiles import ProfileKind
from kvsim.spec.scenario import Scenario
from kvsim.spec.storage import FileStorageSpec

CPU = "cpu"
QUESTION_TOKENS = 128
"""New tokens behind the cached context, unless told otherwise."""
CURVE_POINTS = 25
SIMULATED_POINTS = 5
_STEPS_SCANNED = 512
_KINDS: dict[str, ProfileKind] = {"gpu": "gpus", "model": "models"}


@dataclass(frozen=True)
class Window:
    """The context lengths at which loading wins."""

    stretches: tuple[tuple[int, int], ...]
    """Shortest and longest of each stretch of them; launches and chunks of prefill make steps, so
    there can be several."""
    longest_tokens: int
    """Longest context that was looked at."""

    @property
    def main(self) -> tuple[int, int] | None:
        """The widest stretch."""
        return max(self.stretches, key=lambda s: s[1] - s[0], default=None)

    @property
    def from_tokens(self) -> int | None:
        """Shortest context of the widest stretch; none: loading never wins."""
        return None if self.main is None else self.main[0]

    @property
    def to_tokens(self) -> int | None:
        """Longest context of the widest stretch; none: it goes on to the longest context."""
        if self.main is None or self.main[1] == self.longest_tokens:
            return None
        return self.main[1]

    @property
    def words(self) -> str:
        """The window in words."""
        if self.main is None:
            return f"never up to {self.longest_tokens:,} tokens"
        first, last = self.main
        others = len(self.stretches) - 1
        also = f" (and in {others} narrower ranges)" if others > 1 else ""
        if others == 1:
            also = " (and in a narrower range)"
        if last == self.longest_tokens:
            return f"from {first:,} tokens on{also}"
        if first == last:
            return f"at {first:,} tokens{also}"
        return f"from {first:,} to {last:,} tokens{also}"


@dataclass(frozen=True)
class CurvePoint:
    """One tier at one context length."""

    tier: str
    context: int
    load_s: float
    recompute_s: float
    miss_s: float
    """The same request when the tiers do not have it."""
    parts: Parts
    simulated_load_s: float | None = None
    simulated_recompute_s: float | None = None

    @property
    def break_even_hit_rate(self) -> float | None:
        """Part of the requests that must hit for offload to pay on average; none: no part does."""
        saved, lost = self.recompute_s - self.load_s, self.miss_s - self.recompute_s
        if saved <= 0:
            return None
        return max(0.0, lost) / (max(0.0, lost) + saved)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; what is infinite becomes None."""
        return {
            "tier": self.tier,
            "context": self.context,
            "load_s": _finite(self.load_s),
            "recompute_s": self.recompute_s,
            "miss_s": self.miss_s,
            "break_even_hit_rate": self.break_even_hit_rate,
            "outcome": self.parts.outcome,
            "parts_s": self.parts.seconds,
            "simulated_load_s": self.simulated_load_s,
            "simulated_recompute_s": self.simulated_recompute_s,
        }


@dataclass(frozen=True)
class WhatIf:
    """The break-even under one other condition."""

    tier: str
    changed: str
    """What is other: concurrency, latency, gpu or model."""
    value: str
    window: Window | None
    """None: the condition is impossible."""
    reason: str = ""
    """Why it is impossible."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        window = self.window
        return {
            "tier": self.tier,
            "changed": self.changed,
            "value": self.value,
            "from_tokens": None if window is None else window.from_tokens,
            "to_tokens": None if window is None else window.to_tokens,
            "words": self.reason if window is None else window.words,
        }


def window(model: FirstToken, store: Store | None, *, question: int = QUESTION_TOKENS) -> Window:
    """Find where loading wins, looking at context lengths of whole chunks."""
    lengths = contexts(model, question, _STEPS_SCANNED)
    wins = [
        model.load(c, question, store).total_s < model.recompute(c + question).total_s
        for c in lengths
    ]
    stretches: list[tuple[int, int]] = []
    begin: int | None = None
    for place, (length, wins_here) in enumerate(zip(lengths, wins, strict=True)):
        if wins_here and begin is None:
            begin = length
        elif not wins_here and begin is not None:
            stretches.append((begin, lengths[place - 1]))
            begin = None
    if begin is not None:
        stretches.append((begin, lengths[-1]))
    return Window(tuple(stretches), lengths[-1])


def contexts(model: FirstToken, question: int, count: int) -> list[int]:
    """List context lengths of whole chunks up to the longest prompt: all, or `count` on a log."""
    chunk = model.chunk_tokens
    most = (model.longest_prompt - question) // chunk
    if most < 1:
        raise ConfigError(
            f"question: {question} tokens and a chunk of {chunk} do not fit the longest prompt, "
            f"{model.longest_prompt} tokens"
        )
    if most <= count:
        return [chunk * n for n in range(1, most + 1)]
    return sorted({chunk * round(n) for n in np.geomspace(1, most, count)})


def curve(
    scenario: Scenario,
    store: Store | None,
    *,
    question: int = QUESTION_TOKENS,
    concurrency: int = 1,
    points: int = CURVE_POINTS,
    simulated: int = SIMULATED_POINTS,
) -> list[CurvePoint]:
    """Trace one tier over context lengths, some of them simulated too."""
    model = FirstToken(scenario, concurrency=concurrency)
    lengths = contexts(model, question, points)
    chosen = {lengths[round(i)] for i in np.linspace(0, len(lengths) - 1, simulated)}
    found = []
    for context in lengths:
        parts = model.load(context, question, store)
        measured = recomputed = None
        if simulated and context in chosen:
            measured = _simulated(scenario, store, context, question, concurrency)
            recomputed = simulate_first_token(
                scenario, "recompute", context=context, question=question
            )
        found.append(
            CurvePoint(
                tier=CPU if store is None else store.name,
                context=context,
                load_s=parts.total_s,
                recompute_s=model.recompute(context + question).total_s,
                miss_s=model.miss(context + question, store).total_s,
                parts=parts,
                simulated_load_s=measured,
                simulated_recompute_s=recomputed,
            )
        )
    return found


def _simulated(
    scenario: Scenario, store: Store | None, context: int, question: int, concurrency: int
) -> float | None:
    try:
        return simulate_first_token(
            scenario,
            "cpu" if store is None else "store",
            context=context,
            question=question,
            store=store,
            concurrency=1 if store is None else concurrency,
        )
    except SimulationError:
        return None  # the load was given up and its request failed


def with_rate(
    store: Store | None, scenario: Scenario, rate: float
) -> tuple[Store | None, Scenario]:
    """Let one instance move `rate` bytes/s and no more, streams and latencies as they are."""
    if store is None:
        load = scenario.host.load.model_copy(update={"bandwidth": rate})
        host = scenario.host.model_copy(update={"load": load})
        return None, scenario.model_copy(update={"host": host})
    read = store.read.model_copy(update={"bandwidth": rate})
    limit = "mount_bandwidth" if isinstance(store, FileStorageSpec) else "body_bandwidth"
    client = store.client.model_copy(update={limit: rate})
    return store.model_copy(update={"read": read, "client": client}), scenario


def with_latency(store: Store, factor: float) -> Store:
    """Make every fixed time of a store longer by a factor."""
    if isinstance(store, FileStorageSpec):
        read = store.read.model_copy(update={"latency": store.read.latency * factor})
        return store.model_copy(update={"read": read, "stat": store.stat * factor})
    first = store.read.model_copy(update={"first_byte": store.read.first_byte * factor})
    return store.model_copy(update={"read": first, "head": store.head * factor})


def speed_up(
    scenario: Scenario, store: Store | None, rate: float, lengths: Sequence[int], question: int
) -> list[float]:
    """Give recompute over load time for each context length, at one rate (0: given up)."""
    changed, other = with_rate(store, scenario, rate)
    model = FirstToken(other)
    return [
        model.recompute(c + question).total_s / model.load(c, question, changed).total_s
        for c in lengths
    ]


def rate_needed(
    scenario: Scenario, store: Store | None, context: int, *, question: int = QUESTION_TOKENS
) -> float | None:
    """Find the rate one instance needs for loading to win (bytes/s); none: no rate is enough."""
    low, high = 1e6, 1e13
    if speed_up(scenario, store, high, [context], question)[0] <= 1:
        return None
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        if speed_up(scenario, store, middle, [context], question)[0] > 1:
            high = middle
        else:
            low = middle
    return high


def what_ifs(
    scenario: Scenario,
    store: Store | None,
    *,
    question: int = QUESTION_TOKENS,
    concurrency: Sequence[int] = (1, 2, 4, 8),
    latency: Sequence[float] = (0.5, 1.0, 2.0, 5.0),
    gpus: Sequence[str] = (),
    models: Sequence[str] = (),
) -> list[WhatIf]:
    """Move the break-even of one tier by each condition in turn; impossible ones say why."""
    tier = CPU if store is None else store.name
    rows = []
    if store is not None:
        for count in concurrency:
            found = window(FirstToken(scenario, concurrency=count), store, question=question)
            rows.append(WhatIf(tier, "concurrency", str(count), found))
        for factor in latency:
            found = window(FirstToken(scenario), with_latency(store, factor), question=question)
            rows.append(WhatIf(tier, "latency", f"{factor:g}x", found))
    for key, names in (("gpu", gpus), ("model", models)):
        rows += [_other(scenario, store, tier, key, name, question) for name in names]
    return rows


def _other(
    scenario: Scenario, store: Store | None, tier: str, key: str, name: str, question: int
) -> WhatIf:
    load_profile(_KINDS[key], name)  # a name that does not exist is no impossible design
    changes: dict[str, Any] = {key: name, "engine.num_gpu_blocks": None}
    if key == "model":
        changes["engine.max_model_len"] = None
    try:
        other = scenario.replace(changes)
        found = window(FirstToken(other), store, question=question)
    except ConfigError as error:
        return WhatIf(tier, key, name, None, str(error))
    return WhatIf(tier, key, name, found)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
