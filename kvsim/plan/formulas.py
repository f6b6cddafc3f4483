"""The arithmetic behind offload, each formula with its numbers filled in and where they come from.

The values are those that the simulation works with; times are of one request on an idle instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kvsim.compute.step_time import StepTime
from kvsim.plan.first_token import FirstToken, Parts
from kvsim.spec.base import Profile
from kvsim.spec.memory import activation_peak_bytes, block_bytes
from kvsim.spec.scenario import Scenario
from kvsim.spec.storage import FileStorageSpec
from kvsim.spec.workload import MultiRoundQaSpec
from kvsim.units import format_bytes, format_rate, format_seconds

QUESTION_TOKENS = 128
"""New tokens behind a context that is loaded."""
USUAL_CONTEXT = 10_000
"""Context that is taken where the workload does not say one."""


@dataclass(frozen=True)
class Formula:
    """One quantity: how it is computed, and what comes out."""

    label: str
    formula: str
    filled: str
    """The formula with its numbers."""
    value: float
    unit: str
    source: str
    """Where the numbers come from."""

    @property
    def shown(self) -> str:
        """The value as people write it."""
        if self.unit == "bytes":
            return format_bytes(self.value)
        if self.unit == "bytes/s":
            return format_rate(self.value)
        if self.unit == "s":
            return format_seconds(self.value)
        return f"{self.value:,.0f} {self.unit}"


def formulas(scenario: Scenario, *, context: int | None = None) -> list[Formula]:
    """List the formulas of a scenario, for a cached context of so many tokens.

    Without one it is the mean prompt of the workload, where its spec tells, at most what fits.
    """
    model = FirstToken(scenario)
    tokens = context if context is not None else typical_context(scenario)
    tokens = max(1, min(tokens, model.longest_prompt - QUESTION_TOKENS))
    found = [_token_bytes(scenario), _pool(scenario), _context_bytes(scenario, tokens)]
    if isinstance(scenario.workload, MultiRoundQaSpec):
        found.append(_live(scenario, scenario.workload))
    prefill = _prefill(scenario, tokens)
    found.append(prefill)
    if scenario.offload.connector == "none":
        return found
    found += [_chunk(scenario), _cpu_tier(scenario), _copy(scenario, tokens, model)]
    remote = scenario.offload.remote
    if remote is not None:
        parts = model.load(tokens, QUESTION_TOKENS, remote.profile)
        found += [_look_up(scenario, tokens, parts), _transfer(scenario, tokens, parts)]
    return [*found, _needed(scenario, tokens, prefill)]


def typical_context(scenario: Scenario) -> int:
    """Return the mean prompt of a workload whose spec tells it, else a usual one."""
    work = scenario.workload
    if isinstance(work, MultiRoundQaSpec):
        return (work.first_prompt_tokens + work.last_prompt_tokens) // 2
    return USUAL_CONTEXT


def _token_bytes(scenario: Scenario) -> Formula:
    model, ranks = scenario.model, scenario.engine.tensor_parallel_size
    element = f"{model.kv_bytes_per_element:g}"
    if model.is_mla:
        formula = "layers · (kv_lora_rank + qk_rope_head_dim) · bytes"
        filled = (
            f"{model.num_hidden_layers} · ({model.kv_lora_rank} + {model.qk_rope_head_dim}) · "
            f"{element}"
        )
    else:
        heads = max(1, model.num_key_value_heads // ranks)
        formula = "2 · layers · KV heads · head dim · bytes"
        filled = f"2 · {model.num_hidden_layers} · {heads} · {model.head_dim} · {element}"
    label = "KV of one token" + (", one rank" if ranks > 1 else "")
    value = model.kv_bytes_per_token_per_rank(ranks)
    return Formula(label, formula, filled, value, "bytes", _source(model, "num_hidden_layers"))


def _pool(scenario: Scenario) -> Formula:
    engine, gpu, model = scenario.engine, scenario.gpu, scenario.model
    blocks, block = scenario.num_gpu_blocks, engine.block_tokens
    value = (blocks - 1) * block
    if engine.num_gpu_blocks is not None:
        filled = f"({blocks:,} - 1) · {block}"
        return Formula(
            "tokens that the GPU's KV pool holds",
            "(blocks - 1) · tokens of a block",
            filled,
            value,
            "tokens",
            "engine.num_gpu_blocks of the scenario",
        )
    weights = -(-model.weights_bytes // engine.tensor_parallel_size)
    activations = activation_peak_bytes(model, gpu, engine)
    each = format_bytes(block_bytes(model, engine))
    filled = (
        f"({format_bytes(gpu.memory)} · {engine.gpu_memory_utilization:g} - "
        f"{format_bytes(weights)} - {format_bytes(activations)} - "
        f"{format_bytes(gpu.memory_overhead)}) / {each} · {block}"
    )
    return Formula(
        "tokens that the GPU's KV pool holds",
        "(memory · utilisation - weights - activations - overhead) / bytes of a block · its tokens",
        filled,
        value,
        "tokens",
        _source(gpu, "memory"),
    )


def _context_bytes(scenario: Scenario, tokens: int) -> Formula:
    each = scenario.model.kv_bytes_per_token_per_rank(scenario.engine.tensor_parallel_size)
    return Formula(
        f"KV of {tokens:,} tokens",
        "tokens · KV of one token",
        f"{tokens:,} · {format_bytes(each)}",
        tokens * each,
        "bytes",
        "as above",
    )


def _live(scenario: Scenario, work: MultiRoundQaSpec) -> Formula:
    each = scenario.model.kv_bytes_per_token_per_rank(scenario.engine.tensor_parallel_size)
    mean = typical_context(scenario)
    return Formula(
        "KV of the users that are alive at a time",
        "users · mean prompt · KV of one token",
        f"{work.num_users} · {mean:,} · {format_bytes(each)}",
        work.num_users * mean * each,
        "bytes",
        "workload of the scenario; more users are alive when answers are slow",
    )


def _prefill(scenario: Scenario, tokens: int) -> Formula:
    gpu, model = scenario.gpu, scenario.model
    step = StepTime(
        model,
        gpu,
        scenario.engine,
        scenario.workload.token_content,
        pcie_bandwidth=scenario.host.pcie_bandwidth,
    )
    budget = scenario.max_num_batched_tokens
    chunks = [(done, min(budget, tokens - done)) for done in range(0, tokens, budget)]
    attention_s = sum(step.chunk_s(*chunk) for chunk in chunks)
    base_s = sum(step.base_s(n) for _, n in chunks)
    return Formula(
        f"GPU time to compute {tokens:,} tokens",
        "steps · (weights read + layer overhead) + linear layers + attention",
        f"{len(chunks)} steps of up to {budget:,} tokens: {format_seconds(base_s)} + "
        f"{format_seconds(attention_s)}",
        base_s + attention_s,
        "s",
        f"{_source(gpu, 'peak_flops')}; efficiencies: {_source(gpu, 'efficiency')}",
    )


def _chunk(scenario: Scenario) -> Formula:
    chunk = scenario.offload.chunk_tokens
    each = scenario.chunk_bytes // chunk
    return Formula(
        "a chunk, one rank",
        "chunk_tokens · KV of one token",
        f"{chunk} · {format_bytes(each)}",
        scenario.chunk_bytes,
        "bytes",
        "offload.chunk_tokens of the scenario",
    )


def _cpu_tier(scenario: Scenario) -> Formula:
    offload = scenario.offload
    chunks = offload.cpu.capacity // scenario.chunk_bytes
    return Formula(
        "tokens that the CPU tier of one instance holds",
        "floor(capacity / chunk) · chunk_tokens",
        f"floor({format_bytes(offload.cpu.capacity)} / {format_bytes(scenario.chunk_bytes)}) · "
        f"{offload.chunk_tokens}",
        chunks * offload.chunk_tokens,
        "tokens",
        "offload.cpu.capacity of the scenario",
    )


def _copy(scenario: Scenario, tokens: int, model: FirstToken) -> Formula:
    copy = scenario.host.load
    chunks = tokens // scenario.offload.chunk_tokens
    parts = model.load(tokens, QUESTION_TOKENS)
    return Formula(
        f"load of {tokens:,} tokens from CPU memory",
        "fixed + chunks · chunk / bandwidth",
        f"{format_seconds(copy.fixed)} + {chunks} · {format_bytes(scenario.chunk_bytes)} / "
        f"{format_rate(copy.bandwidth)}",
        parts.copy,
        "s",
        _source(scenario.host, "load"),
    )


def _look_up(scenario: Scenario, tokens: int, parts: Parts) -> Formula:
    assert scenario.offload.remote is not None
    store = scenario.offload.remote.profile
    chunk = scenario.offload.chunk_tokens
    chunks = tokens // chunk
    asked = min(chunks + 1, (tokens + QUESTION_TOKENS) // chunk)
    each = (
        format_seconds(store.stat)
        if isinstance(store, FileStorageSpec)
        else f"({format_seconds(store.head)} + {format_seconds(store.client.head_overhead)})"
    )
    limit = scenario.offload.lookup_timeout
    over = f" (over the limit of {limit:g} s: nothing is found)"
    return Formula(
        f"look-up of {tokens:,} tokens in {store.name}",
        "existence checks, one after another · time of one",
        f"{asked} · {each}{over if parts.outcome == 'lookup_timeout' else ''}",
        parts.checks,
        "s",
        _source(store, "stat" if isinstance(store, FileStorageSpec) else "head"),
    )


def _transfer(scenario: Scenario, tokens: int, parts: Parts) -> Formula:
    assert scenario.offload.remote is not None
    store = scenario.offload.remote.profile
    chunks = tokens // scenario.offload.chunk_tokens
    if isinstance(store, FileStorageSpec):
        threads = store.client.threads or min(32, scenario.host.num_cpus + 4)
        each, client, streams = store.read.per_stream, store.client.mount_bandwidth, threads
    else:
        each, client = store.read.per_connection, store.client.body_bandwidth
        streams = store.client.connections
    streams = min(chunks, streams)
    return Formula(
        f"read of {tokens:,} tokens from {store.name}",
        "first bytes + chunks · chunk / min(streams · stream, client, store)",
        f"{format_seconds(parts.latency)} + {chunks} · {format_bytes(scenario.chunk_bytes)} / "
        f"min({streams} · {format_rate(each)}, {format_rate(client)}, "
        f"{format_rate(store.read.bandwidth)})",
        parts.latency + parts.transfer,
        "s",
        _source(store, "read.bandwidth"),
    )


def _needed(scenario: Scenario, tokens: int, prefill: Formula) -> Formula:
    n_bytes = tokens // scenario.offload.chunk_tokens * scenario.chunk_bytes
    return Formula(
        "rate at which a load takes as long as computing",
        "KV of the chunks / GPU time to compute",
        f"{format_bytes(n_bytes)} / {format_seconds(prefill.value)}",
        n_bytes / prefill.value,
        "bytes/s",
        "as above",
    )


def _source(profile: Profile, path: str) -> str:
    source: Any = profile.source_of(path)
    return f"{profile.name} ({source.kind})"
