"""The whole answer to "load or recompute": windows, curves, maps, what-ifs and words, as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kvsim.plan.breakeven import (
    CPU,
    QUESTION_TOKENS,
    SIMULATED_POINTS,
    contexts,
    curve,
    rate_needed,
    speed_up,
    what_ifs,
    window,
)
from kvsim.plan.breakeven_words import explain
from kvsim.plan.first_token import FirstToken, Store
from kvsim.spec.scenario import Scenario
from kvsim.spec.storage import FileStorageSpec

MAP_CONTEXTS = 40
MAP_RATES = 30
_MAP_SPAN = (0.02, 10.0)
"""Bandwidths of a map, as parts of what the tier has."""


def make_breakeven_plan(
    scenario: Scenario,
    stores: Sequence[Store],
    *,
    question: int = QUESTION_TOKENS,
    concurrency: Sequence[int] = (1, 2, 4, 8),
    gpus: Sequence[str] = (),
    models: Sequence[str] = (),
    simulated: int = SIMULATED_POINTS,
    on_tier: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Compare CPU memory and each store with computing; the first concurrency is the curve's."""
    tiers = []
    for store in (None, *stores):
        tiers.append(
            _tier(
                scenario,
                store,
                question=question,
                concurrency=concurrency,
                gpus=gpus,
                models=models,
                simulated=simulated,
            )
        )
        if on_tier is not None:
            on_tier()
    return {
        "scenario": scenario.name,
        "model": scenario.model.name,
        "gpu": scenario.gpu.name,
        "host": scenario.host.name,
        "question_tokens": question,
        "concurrency": concurrency[0],
        "tiers": tiers,
    }


def _tier(
    scenario: Scenario,
    store: Store | None,
    *,
    question: int,
    concurrency: Sequence[int],
    gpus: Sequence[str],
    models: Sequence[str],
    simulated: int,
) -> dict[str, Any]:
    model = FirstToken(scenario, concurrency=concurrency[0])
    found = window(model, store, question=question)
    points = curve(
        scenario, store, question=question, concurrency=concurrency[0], simulated=simulated
    )
    own = own_rate(scenario, store, concurrency[0])
    lengths = contexts(model, question, MAP_CONTEXTS)
    rates = np.geomspace(own * _MAP_SPAN[0], own * _MAP_SPAN[1], MAP_RATES).tolist()
    return {
        "tier": CPU if store is None else store.name,
        "medium": None if store is None else store.medium,
        "from_tokens": found.from_tokens,
        "to_tokens": found.to_tokens,
        "stretches": [list(stretch) for stretch in found.stretches],
        "longest_tokens": found.longest_tokens,
        "words": explain(model, store, found, question=question),
        "curve": [
            {
                **point.to_dict(),
                "rate_needed_bytes_per_s": rate_needed(
                    scenario, store, point.context, question=question
                ),
            }
            for point in points
        ],
        "map": {
            "contexts": lengths,
            "rates": rates,
            "own_rate": own,
            "gains": [speed_up(scenario, store, rate, lengths, question) for rate in rates],
        },
        "what_ifs": [
            row.to_dict()
            for row in what_ifs(
                scenario,
                store,
                question=question,
                concurrency=concurrency,
                gpus=gpus,
                models=models,
            )
        ],
    }


def own_rate(scenario: Scenario, store: Store | None, concurrency: int) -> float:
    """Return what one instance moves at most, with so many of them loading (bytes/s)."""
    if store is None:
        return scenario.host.load.bandwidth
    if isinstance(store, FileStorageSpec):
        return min(store.client.mount_bandwidth, store.read.bandwidth / concurrency)
    return min(store.client.body_bandwidth, store.read.bandwidth / concurrency)
