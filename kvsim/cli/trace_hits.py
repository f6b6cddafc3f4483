"""`kvsim trace hits`: hit tokens by cache size and policy, without time."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.cli.inputs import HtmlOption, JsonOption, check_html, print_json, print_remarks
from kvsim.cli.progress import part_bar
from kvsim.cli.trace import (
    FileArgument,
    FormatOption,
    HashTokensOption,
    StrictOption,
    read,
)
from kvsim.errors import ConfigError

if TYPE_CHECKING:
    from kvsim.spec.model import ModelSpec
    from kvsim.workload.trace_hits import HitPolicy, Hits, References
    from kvsim.workload.traces import Trace

DEFAULT_POLICIES = ("lru", "fifo", "optimal")
DEFAULT_SIZES = 8
MORE = 10**12
"""Bytes of the question what one more TB would save."""


def hits(
    file: FileArgument,
    capacity: Annotated[
        list[str] | None,
        typer.Option("--capacity", help="Size, e.g. 64GiB with --model, or tokens; repeatable."),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", help="lru, fifo, optimal, s3fifo, arc, ...; repeatable."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The model whose KV cache is kept.")
    ] = None,
    chunk_tokens: Annotated[
        int | None, typer.Option("--chunk-tokens", min=1, help="Else those of a hash id.")
    ] = None,
    warm_up: Annotated[
        float,
        typer.Option("--warm-up", min=0, max=0.99, help="Part of the requests not counted."),
    ] = 0.0,
    html: HtmlOption = None,
    form: FormatOption = "auto",
    strict: StrictOption = False,
    hash_tokens: HashTokensOption = None,
    as_json: JsonOption = False,
) -> int:
    """Count hits by cache size and policy, with no time: prompts one after the other.

    Example: kvsim trace hits conversation.jsonl --policy lru --model qwen3-8b --html hits.html
    """
    from kvsim.workload.trace_hits import count_hits, references

    check_html(html)
    policies = [_policy(name) for name in policy or DEFAULT_POLICIES]
    served = _model(model)
    kv_bytes = served.kv_bytes_per_token if served else None
    trace = read(file, form, strict, hash_tokens, None, None, 4.0)
    asked = references(trace, chunk_tokens)
    sizes = _sizes(capacity, asked, kv_bytes)
    from_row = int(len(trace) * warm_up)
    cost: Callable[[int], float] = float
    if served is not None:
        cost = partial(served.chunk_flops, asked.chunk_tokens)
    found: list[Hits] = []
    with part_bar("counting hits") as report:
        for name in policies:
            for size in sizes:
                found.append(count_hits(asked, name, size, from_row=from_row, cost=cost))
                report(len(found) / (len(policies) * len(sizes)))
    more = _one_more_tb(asked, sizes, kv_bytes, from_row)
    if html is not None:
        _draw(html, trace, asked, found, more, sizes, kv_bytes)
    if as_json:
        _print_json(asked, found, more, kv_bytes)
    else:
        from kvsim.cli.trace_tables import print_hits

        print_hits(trace.name, asked, found, more, kv_bytes)
        if html is not None:
            typer.echo(f"page: {html}")
    print_remarks(trace.remarks)
    return 0


def _policy(name: str) -> "HitPolicy":
    from typing import get_args

    from kvsim.spec.problems import suggest
    from kvsim.workload.trace_hits import HitPolicy

    known: dict[str, HitPolicy] = {policy: policy for policy in get_args(HitPolicy)}
    if name not in known:
        raise ConfigError(f"--policy {name}: does not exist; {suggest(name, known)}")
    return known[name]


def _model(name: str | None) -> "ModelSpec | None":
    from kvsim.spec.load import load_profile

    return load_profile("models", name) if name is not None else None


def _sizes(given: list[str] | None, asked: "References", kv_bytes: int | None) -> list[int]:
    """Turn sizes into chunks; without any, halve what holds everything."""
    from kvsim.units import parse_bytes

    if not given:
        everything = asked.num_distinct
        return sorted({max(1, everything >> n) for n in range(DEFAULT_SIZES)})
    chunks: list[int] = []
    for text in given:
        if text.isdecimal():
            chunks.append(int(text) // asked.chunk_tokens)
        elif kv_bytes is None:
            raise ConfigError(
                f"--capacity {text}: is no number of tokens; bytes (64GiB) need --model NAME"
            )
        else:
            chunks.append(parse_bytes(text) // (kv_bytes * asked.chunk_tokens))
    return chunks


def _one_more_tb(
    asked: "References", sizes: list[int], kv_bytes: int | None, from_row: int
) -> dict[int, int]:
    """Count, by size, the hit tokens that one more TB adds under LRU."""
    from kvsim.workload.trace_hits import count_hits

    if kv_bytes is None:
        return {}
    added = MORE // (kv_bytes * asked.chunk_tokens)
    return {
        size: count_hits(asked, "lru", size + added, from_row=from_row).hit_tokens
        - count_hits(asked, "lru", size, from_row=from_row).hit_tokens
        for size in sizes
    }


def _draw(
    html: Path,
    trace: "Trace",
    asked: "References",
    found: "list[Hits]",
    more: dict[int, int],
    sizes: list[int],
    kv_bytes: int | None,
) -> None:
    from kvsim.report.hits_page import hits_page
    from kvsim.workload.trace_hits import ages

    old = {}
    if trace.clock == "trace":
        middle = sorted(sizes)[len(sizes) // 2]
        old = {middle: ages(trace, asked, middle)}
    page = hits_page(trace.name, asked, found, old, more, kv_bytes_per_token=kv_bytes)
    page.write(html)


def _print_json(
    asked: "References", found: "list[Hits]", more: dict[int, int], kv_bytes: int | None
) -> None:
    rows = []
    for one in found:
        tokens = one.capacity_chunks * asked.chunk_tokens
        row = {
            "policy": one.policy,
            "capacity_tokens": tokens,
            "capacity_bytes": tokens * kv_bytes if kv_bytes else None,
            "hit_tokens": one.hit_tokens,
            "total_tokens": one.total_tokens,
            "hit_rate": one.rate,
            "one_more_tb_hit_tokens": more.get(one.capacity_chunks),
        }
        rows.append(row)
    print_json({"chunk_tokens": asked.chunk_tokens, "references": asked.num_chunks, "rows": rows})
