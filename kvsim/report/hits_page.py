"""Hit rate against cache size, and how old chunks are when they are hit or leave."""

from collections.abc import Mapping, Sequence

from kvsim.report.charts.capacity import hit_rate_by_policy
from kvsim.report.charts.tiers import age_at_hit_and_eviction
from kvsim.report.html import Cell, Page
from kvsim.text import percent
from kvsim.units import format_bytes
from kvsim.workload.trace_hits import Ages, Hits


def hits_page(
    name: str,
    found: Sequence[Hits],
    old: Mapping[int, Ages],
    *,
    chunk_tokens: int,
    kv_bytes_per_token: int | None,
) -> Page:
    """Draw the hit rates, and the ages by capacity (chunks)."""
    page = Page(f"Hit rates of {name}")
    page.paragraph(
        "Prompts come one after the other through one cache, without time: an upper bound for "
        "caches that are split, still loading, or full of what runs. optimal knows the future."
    )
    page.charts(hit_rate_by_policy(found, chunk_tokens, kv_bytes_per_token))
    for capacity, one in old.items():
        page.charts(age_at_hit_and_eviction(one, _size(capacity, chunk_tokens, kv_bytes_per_token)))
    page.heading("All sizes")
    page.table(
        ["policy", Cell("size", "num"), Cell("hit tokens", "num"), Cell("hit rate", "num")],
        [
            [
                hits.policy,
                Cell(_size(hits.capacity_chunks, chunk_tokens, kv_bytes_per_token), "num"),
                Cell(f"{hits.hit_tokens:,}", "num"),
                Cell(percent(hits.rate), "num"),
            ]
            for hits in found
        ],
    )
    return page


def _size(chunks: int, chunk_tokens: int, kv_bytes_per_token: int | None) -> str:
    if kv_bytes_per_token:
        return format_bytes(chunks * chunk_tokens * kv_bytes_per_token)
    return f"{chunks * chunk_tokens:,} tokens"
