"""From the names of a scenario to tiers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Literal

from kvsim.cache.chunk_tier import ChunkTier, LruTier
from kvsim.cache.extents import ExtentOrder
from kvsim.cache.key_order import KeyOrder, Order, SecondHit, TtlOrder
from kvsim.cache.policies import make_policy
from kvsim.cache.remote_store import EndlessStore, LimitedStore, RemoteStore
from kvsim.cache.tenant_tier import NO_LIMIT, Allowance, TenantTier
from kvsim.spec.offload import AdmissionName, EvictionName, RemoteSpec
from kvsim.spec.tenants import TenantSpec, part_bytes


def make_chunk_tier(
    capacity_chunks: int,
    eviction: EvictionName,
    *,
    extents: bool,
    admission: AdmissionName = "all",
    ttl_s: float = inf,
    now: Callable[[], float] = float,
    cost: Callable[[int], float] = float,
    allowances: Mapping[str, Allowance] | None = None,
) -> ChunkTier:
    """Build an empty tier; `extents=False` keeps single keys whatever the policy (the oracle).

    `allowances` say what each tenant may keep; without them nobody is told apart.

    `now` tells the time to the policy ttl, `cost` is that of computing the chunk at a place of a
    prompt, for the policy cost_aware.
    """
    order: Order
    if eviction == "ttl":
        order = TtlOrder(ttl_s, now)
    elif extents and eviction in ("lru", "fifo"):
        order = ExtentOrder(moves=eviction == "lru")
    else:
        order = KeyOrder(make_policy(eviction, capacity_chunks, cost))
    if admission == "second_hit":
        order = SecondHit(order)
    if allowances is not None:
        return TenantTier(capacity_chunks, order, allowances)
    lru = eviction == "lru" and admission == "all"
    return (LruTier if lru else ChunkTier)(capacity_chunks, order)


def make_remote_store(
    spec: RemoteSpec,
    chunk_bytes: int,
    keys: Iterable[int] = (),
    *,
    now: Callable[[], float] = float,
    cost: Callable[[int], float] = float,
    allowances: Mapping[str, Allowance] | None = None,
) -> RemoteStore:
    """Build the store of a scenario with what it holds at the start; sizes are of all ranks."""
    limited = allowances is not None and any(a != Allowance() for a in allowances.values())
    if spec.capacity is None and spec.eviction != "ttl" and not limited:
        return EndlessStore(keys)
    tier = make_chunk_tier(
        NO_LIMIT if spec.capacity is None else spec.capacity // chunk_bytes,
        spec.eviction,
        extents=True,
        ttl_s=spec.ttl,
        now=now,
        cost=cost,
        allowances=allowances,
    )
    return LimitedStore(tier, keys)


def allowances(
    tenants: Mapping[str, TenantSpec] | None,
    tier: Literal["cpu", "remote"],
    capacity_bytes: int | None,
    chunk_bytes: int,
) -> dict[str, Allowance] | None:
    """Turn tenants' parts of a tier into chunks; None without tenants."""
    if tenants is None:
        return None
    found: dict[str, Allowance] = {}
    for name, tenant in tenants.items():
        quota = part_bytes(getattr(tenant, f"{tier}_quota"), capacity_bytes)
        reserved = part_bytes(getattr(tenant, f"{tier}_reserved"), capacity_bytes)
        found[name] = Allowance(
            NO_LIMIT if quota is None else quota // chunk_bytes,
            0 if reserved is None else reserved // chunk_bytes,
        )
    return found
