"""How far apart uses of the same KV are, and what capacity is worth: for traces and for runs."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from kvsim.errors import KvsimError
from kvsim.report.charts.capacity import TB, marginal_saving
from kvsim.report.charts.tiers import age_at_hit_and_eviction, reuse_distance, working_set
from kvsim.report.html import Page
from kvsim.spec import MultiRoundQaSpec, Scenario
from kvsim.text import percent
from kvsim.units import format_bytes, format_count, format_seconds
from kvsim.workload.source import load_trace
from kvsim.workload.trace_hits import Ages, ages, references
from kvsim.workload.trace_stats import Reuse, measure_reuse, windows
from kvsim.workload.traces.trace import Trace, cap_prompts

SIZES: Final = 48
SMALLEST: Final = 1000
"""Curves begin at this part of what would hold everything."""
MOST_REFERENCES: Final = 5_000_000
"""Chunk references up to which ages are measured: some seconds."""


class Sizes:
    """Write sizes as bytes of a model's KV cache, or as tokens where no model is named."""

    def __init__(self, kv_bytes_per_token: int | None) -> None:
        self.kv_bytes_per_token = kv_bytes_per_token

    def __call__(self, tokens: float) -> str:
        if self.kv_bytes_per_token:
            return format_bytes(int(tokens * self.kv_bytes_per_token))
        return f"{format_count(int(tokens))} tokens"


def lru_curve(reuse: Reuse, prompt_tokens: int) -> pd.DataFrame:
    """Return the hit rate of one least-recently-used cache at sizes up to all there is."""
    most = int(reuse.new_blocks.sum())
    if not reuse.blocks.size or most < 2:
        return pd.DataFrame(columns=["capacity_tokens", "hit_rate"])
    sizes = np.unique(np.geomspace(max(1, most / SMALLEST), most, SIZES).round().astype(np.int64))
    rows = [
        (size * reuse.unit_tokens, reuse.lru_hit_tokens(size) / prompt_tokens)
        for size in sizes.tolist()
    ]
    return pd.DataFrame(rows, columns=["capacity_tokens", "hit_rate"])


def rate_at(curve: pd.DataFrame, capacity_tokens: float) -> float:
    """Read the hit rate of one cache off its curve; nothing is found without room."""
    sizes, rates = [0.0, *curve["capacity_tokens"]], [0.0, *curve["hit_rate"]]
    return float(np.interp(capacity_tokens, sizes, rates))


def reuse_chart(
    reuse: Reuse, prompt_tokens: int, write: Sizes, *, knee_tokens: int | None = None
) -> go.Figure:
    """Draw how much other KV comes between two uses of the same tokens."""
    return reuse_distance(
        (reuse.newer_blocks + reuse.blocks / 2) * reuse.unit_tokens,
        reuse.tokens,
        prompt_tokens=prompt_tokens,
        kv_bytes_per_token=write.kv_bytes_per_token,
        knee_tokens=knee_tokens,
    )


def saving_charts(curve: pd.DataFrame, write: Sizes) -> list[go.Figure]:
    """Draw what one more TB would save, where a model tells bytes and anything repeats."""
    if not write.kv_bytes_per_token or curve.empty:
        return []
    sizes = curve["capacity_tokens"] * write.kv_bytes_per_token
    return [marginal_saving(curve.assign(capacity_bytes=sizes))]


def one_more_tb(
    curve: pd.DataFrame, capacity_tokens: float, prompt_tokens: int, kv_bytes_per_token: int
) -> str:
    """Say what one more TB would save where there is so much room already."""
    more = capacity_tokens + TB / kv_bytes_per_token
    gain = rate_at(curve, more) - rate_at(curve, capacity_tokens)
    saved = format_count(round(gain * prompt_tokens))
    return f"One more TB there would save computing {saved} tokens, {percent(gain)} of all."


def ages_told(
    trace: Trace, reuse: Reuse, capacities_tokens: Sequence[float], write: Sizes
) -> tuple[list[str], list[go.Figure]]:
    """Tell ages at hits and evictions in caches of these sizes, where times and hash ids do."""
    if trace.clock != "trace" or not trace.hash_tokens or not reuse.blocks.size:
        return [], []
    if int(trace.hashed_tokens().sum()) > MOST_REFERENCES * trace.hash_tokens:
        too_long = (
            "Ages at hits and evictions are left out: the trace is too long to follow each chunk; "
            "cut it with kvsim trace convert --window."
        )
        return [too_long], []
    asked = references(trace)
    words, figures = [], []
    for size in capacities_tokens:
        found = ages(trace, asked, max(1, int(size) // asked.chunk_tokens))
        figures.append(age_at_hit_and_eviction(found, write(size)))
        words.append(f"With {write(size)}: {_lost(found, reuse)}")
    return words, figures


def add_ages(page: Page, words: Sequence[str], figures: Sequence[go.Figure]) -> None:
    """Add what `ages_told` tells to a page, if it tells anything."""
    if words:
        page.heading("How old chunks are when they are hit, and when they are evicted")
    for sentence in words:
        page.paragraph(sentence)
    page.charts(*figures)


def _lost(found: Ages, reuse: Reuse) -> str:
    """Say how much comes back only after it has gone: the hits of a cache show none of it."""
    if not found.at_eviction_s.size:
        return "nothing is evicted."
    evicted_s = float(np.median(found.at_eviction_s))
    later = float(reuse.tokens[reuse.idle_s > evicted_s].sum() / reuse.tokens.sum())
    kept = format_seconds(float(f"{evicted_s:.3g}"))
    return (
        f"chunks go after {kept} without use (median); {percent(later)} of all tokens that are "
        "asked for again come back later than that."
    )


def run_reuse(page: Page, scenario: Scenario) -> None:
    """Say of a run's trace what other caches would find: it is read, or made up, once more."""
    work = scenario.workload
    if isinstance(work, MultiRoundQaSpec):
        return
    page.heading("What the trace asks for again")
    try:
        trace = load_trace(work, scenario.seed)
    except KvsimError as error:
        page.paragraph(f"Reuse is left out: {error}", "soft")
        return
    if work.max_prompt is not None:
        trace = cap_prompts(trace, work.max_prompt)
    reuse = measure_reuse(trace)
    prompt_tokens = int(trace.prompt_tokens.sum())
    curve = lru_curve(reuse, prompt_tokens)
    kv_bytes = scenario.model.kv_bytes_per_token
    write = Sizes(kv_bytes)
    ideal = float(reuse.hit_tokens.sum()) / prompt_tokens
    page.paragraph(
        f"An endless cache would find {percent(ideal)} of the prompt tokens, with all requests in "
        "the order of the trace, one after the other, and answers left out."
    )
    if curve.empty:
        return
    held, where = _local_tokens(scenario)
    page.paragraph(
        f"{where}, {write(held)} in all, would find {percent(rate_at(curve, held))} as one "
        f"LRU cache. {one_more_tb(curve, held, prompt_tokens, kv_bytes)}"
    )
    charts = [reuse_chart(reuse, prompt_tokens, write), *saving_charts(curve, write)]
    if trace.clock == "trace":
        charts.insert(1, working_set(windows(trace, reuse), kv_bytes_per_token=kv_bytes))
    page.charts(*charts)
    add_ages(page, *ages_told(trace, reuse, [held], write))


def _local_tokens(scenario: Scenario) -> tuple[float, str]:
    """Return the tokens of KV that CPU memory holds on all instances, else GPU memory."""
    offload = scenario.offload
    chunks = offload.cpu.capacity // scenario.chunk_bytes if offload.connector != "none" else 0
    if chunks:
        held = scenario.instances * chunks * offload.chunk_tokens
        return held, "The CPU memory of all instances"
    pool = scenario.num_gpu_blocks * scenario.engine.block_tokens
    return scenario.instances * pool, "The KV memory of all GPUs"
