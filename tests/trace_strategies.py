"""Small traces that Hypothesis draws: token sequences, and the hash ids recorders give them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from kvsim.workload.traces.build import TraceBuilder
from kvsim.workload.traces.trace import Trace

GRAIN = 4


@st.composite
def texts(draw: st.DrawFn, max_size: int = 25) -> list[list[int]]:
    """Draw prompts of few different tokens, many of which go on where others end or part."""
    prompts: list[list[int]] = []
    for _ in range(draw(st.integers(1, max_size))):
        new = draw(st.lists(st.integers(0, 1), min_size=1, max_size=12))
        if prompts and draw(st.booleans()):
            old = draw(st.sampled_from(prompts))
            new = [*old[: draw(st.integers(0, len(old)))], *new]
        prompts.append(new)
    return prompts


def hashed_trace(
    prompts: list[list[int]], *, partial: bool, sessions: list[str] | None = None
) -> Trace:
    """Give each block of `GRAIN` tokens the number of its text and all before it."""
    builder = TraceBuilder("drawn", "drawn", hash_tokens=GRAIN)
    for row, prompt in enumerate(prompts):
        ends = [*range(GRAIN, len(prompt) + 1, GRAIN)]
        if partial and len(prompt) % GRAIN:
            ends.append(len(prompt))
        builder.add(
            time_s=float(row),
            prompt_tokens=len(prompt),
            output_tokens=3,
            session=None if sessions is None else sessions[row],
            hash_ids=[builder.known(tuple(prompt[:end])) for end in ends],
        )
    return builder.build()


def common_tokens(first: list[int], second: list[int], *, partial: bool) -> int:
    """Count the leading tokens that hashes show two prompts to share."""
    count = 0
    while count < min(len(first), len(second)) and first[count] == second[count]:
        count += 1
    if partial and first == second:
        return count
    return count // GRAIN * GRAIN


@st.composite
def hashed_prompts(draw: st.DrawFn, max_size: int = 12) -> list[dict[str, Any]]:
    """Draw rows in Mooncake's format, with 256-token hash ids that depend on what is before."""
    ids: dict[tuple[int, ...], int] = {}
    rows: list[dict[str, Any]] = []
    now_ms = 0
    for prompt in (text[:14] for text in draw(texts(max_size))):
        cut = draw(st.integers(0, 255))
        hashes = [
            ids.setdefault((*prompt[:end], -cut if end == len(prompt) else 0), len(ids))
            for end in range(1, len(prompt) + 1)
        ]
        rows.append(
            {
                "timestamp": now_ms,
                "input_length": 256 * len(prompt) - cut,
                "output_length": draw(st.integers(1, 300)),
                "hash_ids": hashes,
            }
        )
        now_ms += draw(st.integers(0, 4_000))
    return rows
