"""When offload hurts and why, in sentences whose numbers come from the closed form."""

from __future__ import annotations

from kvsim.plan.breakeven import QUESTION_TOKENS, Window, contexts
from kvsim.plan.first_token import FirstToken, Parts, Store
from kvsim.spec.storage import FileStorageSpec
from kvsim.text import duration, percent
from kvsim.units import format_rate

_NAMES = {
    "schedule": "the scheduler with its look-up",
    "checks": "existence checks one after another",
    "latency": "fixed times of the load",
    "transfer": "bytes from the store",
    "copy": "the copy to the GPU",
    "compute": "the pass over what is left",
    "store": "storing new chunks",
}


def explain(
    model: FirstToken, store: Store | None, found: Window, *, question: int = QUESTION_TOKENS
) -> list[str]:
    """Say where loading wins, what it loses to, what a miss costs, and who else pays."""
    tier = "CPU memory" if store is None else store.name
    lengths = contexts(model, question, 60)
    lines = [f"{tier}: loading wins {found.words}."]
    shortest, longest = lengths[0], lengths[-1]
    if found.from_tokens is None or found.from_tokens > shortest:
        lines.append(_too_short(model, store, shortest, question))
    if found.to_tokens is not None:
        lines.append(_too_long(model, store, found, question))
    if found.from_tokens is None:
        lines.append(_never(model, store, longest, question))
    at = _middle(found, lengths)
    lines.append(_missing(model, store, at, question))
    lines.append(_others(model, store, at, question))
    return lines


def _too_short(model: FirstToken, store: Store | None, at: int, question: int) -> str:
    load, compute = model.load(at, question, store), model.recompute(at + question)
    why = _largest(_extra(load, compute))
    return (
        f"At {at:,} tokens a load takes {duration(load.total_s)}, computing "
        f"{duration(compute.total_s)}: there is little to save, and {why} cost more than that."
    )


def _too_long(model: FirstToken, store: Store | None, found: Window, question: int) -> str:
    assert found.to_tokens is not None
    beyond = found.to_tokens + model.chunk_tokens
    load = model.load(beyond, question, store)
    offload = model.scenario.offload
    if load.outcome == "lookup_timeout":
        return (
            f"Beyond {found.to_tokens:,} tokens the look-up exceeds its {offload.lookup_timeout:g} "
            "s, finds nothing and the context is computed after all: fewer and larger chunks, or a "
            "client that knows its keys, avoid it."
        )
    if load.outcome == "load_timeout":
        return (
            f"Beyond {found.to_tokens:,} tokens the load exceeds its {offload.blocking_timeout:g} "
            "s and the request fails: more bandwidth, or a longer blocking_timeout."
        )
    why = _largest(_extra(load, model.recompute(beyond + question)))
    return f"Beyond {found.to_tokens:,} tokens {why} grow faster than the time that they save."


def _never(model: FirstToken, store: Store | None, at: int, question: int) -> str:
    load, compute = model.load(at, question, store), model.recompute(at + question)
    chunks = at // model.chunk_tokens
    if load.outcome != "served":
        limit = "look-up" if load.outcome == "lookup_timeout" else "load"
        return f"At {at:,} tokens the {limit} runs into its time limit."
    rate = chunks * model.chunk_bytes / max(load.transfer + load.latency + load.copy, 1e-9)
    spare_s = compute.total_s - load.total_s + load.transfer + load.copy
    needed = (
        f"it would take {format_rate(chunks * model.chunk_bytes / spare_s)}"
        if spare_s > 0
        else f"no bandwidth is enough, for {_largest(_extra(load, compute))} alone cost more"
    )
    return f"At {at:,} tokens the KV arrives at {format_rate(rate)}; {needed}."


def _missing(model: FirstToken, store: Store | None, at: int, question: int) -> str:
    prompt = at + question
    alone, miss = model.recompute(prompt).total_s, model.miss(prompt, store).total_s
    load = model.load(at, question, store).total_s
    lost, saved = miss - alone, alone - load
    cost = f"A miss at {at:,} tokens takes {duration(miss)} in place of {duration(alone)}"
    if lost <= 0:
        return f"{cost}: offload costs nothing when it finds nothing."
    cause = "look-ups, and copies of the new chunks that every step waits for"
    if saved <= 0:
        return f"{cost} ({cause})."
    share = lost / (lost + saved)
    return (
        f"{cost} ({cause}), so offload pays on average if more than {percent(share)} of such "
        "requests hit."
    )


def _others(model: FirstToken, store: Store | None, at: int, question: int) -> str:
    load, compute = model.load(at, question, store), model.recompute(at + question)
    stall_s = load.checks + load.latency + load.transfer + load.copy
    shares = ""
    if store is not None:
        limit = (
            store.client.mount_bandwidth
            if isinstance(store, FileStorageSpec)
            else store.client.body_bandwidth
        )
        several = store.read.bandwidth / limit
        shares = (
            f" The store feeds {max(1, int(several))} such "
            f"{'load' if several < 2 else 'loads'} at full speed at a time."
        )
    return (
        f"LMCache loads in the engine's own thread: for {duration(stall_s)} no other request of "
        f"the instance gets a token (computing: {duration(compute.engine_s)} shared with their "
        "decodes)." + shares
    )


def _middle(found: Window, lengths: list[int]) -> int:
    """Choose a length at which loading wins, where there is one."""
    if found.from_tokens is None:
        return lengths[len(lengths) // 2]
    end = found.to_tokens or lengths[-1]
    inside = [n for n in lengths if found.from_tokens <= n <= end]
    return inside[len(inside) // 2] if inside else found.from_tokens


def _extra(load: Parts, compute: Parts) -> dict[str, float]:
    """Give what a load takes more than computing, by part."""
    more = {name: load.seconds[name] - compute.seconds[name] for name in _NAMES}
    return {name: seconds for name, seconds in more.items() if seconds > 0}


def _largest(extra: dict[str, float]) -> str:
    ranked = sorted(extra.items(), key=lambda item: -item[1])[:2]
    return " and ".join(f"{_NAMES[name]} ({duration(seconds)})" for name, seconds in ranked)
