"""Hit rate against cache size by policy, what more room is worth, and how old chunks are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kvsim.report.charts.capacity import hit_rate_by_policy
from kvsim.report.charts.tiers import age_at_hit_and_eviction
from kvsim.report.html import Cell, Page
from kvsim.report.reuse_section import Sizes, lru_curve, reuse_chart, saving_charts
from kvsim.text import percent
from kvsim.units import format_count
from kvsim.workload.trace_hits import Ages, Hits, References


def hits_page(
    name: str,
    asked: References,
    found: Sequence[Hits],
    old: Mapping[int, Ages],
    more: Mapping[int, int],
    *,
    kv_bytes_per_token: int | None,
) -> Page:
    """Draw the hit rates and the ages by capacity (chunks); `more` tells what one TB adds."""
    page = Page(f"Hit rates of {Path(name).name}")
    page.paragraph(
        "Prompts come one after the other through one cache, without time: an upper bound for "
        "caches that are split, still loading, or full of what runs. optimal knows the future."
    )
    write = Sizes(kv_bytes_per_token)
    unit = asked.chunk_tokens
    prompt_tokens = sum(asked.prompt_tokens)
    page.charts(hit_rate_by_policy(found, unit, kv_bytes_per_token))
    page.charts(
        reuse_chart(asked.reuse, prompt_tokens, write),
        *(age_at_hit_and_eviction(one, write(chunks * unit)) for chunks, one in old.items()),
        *saving_charts(lru_curve(asked.reuse, prompt_tokens), write),
    )
    _table(page, found, more, unit, write)
    return page


def _table(
    page: Page, found: Sequence[Hits], more: Mapping[int, int], unit: int, write: Sizes
) -> None:
    """Tabulate a row a size and a column a policy."""
    page.heading("Part of the prompt tokens that is found")
    rates = {(hits.capacity_chunks, hits.policy): percent(hits.rate) for hits in found}
    policies = list(dict.fromkeys(hits.policy for hits in found))
    sizes = sorted({hits.capacity_chunks for hits in found})
    page.table(
        [
            Cell(heading, "num")
            for heading in ("size", *policies, *(["1 TB more adds under lru"] if more else []))
        ],
        [
            [
                Cell(text, "num")
                for text in (
                    write(size * unit),
                    *(rates[size, policy] for policy in policies),
                    *([f"{format_count(more[size])} tokens"] if more else []),
                )
            ]
            for size in sizes
        ],
    )
