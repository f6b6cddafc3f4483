"""How an instance's own tiers were used: the GPU's block pool and LMCache's CPU memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kvsim.cache.chunk_tier import ChunkTier
from kvsim.cache.remote_store import LimitedStore, RemoteStore
from kvsim.cache.tenant_tier import TenantTier
from kvsim.engine.connectors.lmcache_inproc import LmcacheInproc
from kvsim.engine.schedule import BlockBook
from kvsim.metrics.columns import Columns
from kvsim.metrics.usage import Usage


class TierUsage:
    """Integrate the fill of both tiers, from the instants at which requests come and go."""

    def __init__(
        self, instance: int, pool: BlockBook, lmcache: LmcacheInproc | None, block_bytes: int
    ) -> None:
        self._instance = instance
        self._pool = pool
        self._lmcache = lmcache
        self._block_bytes = block_bytes
        self._blocks = Usage()
        self._chunks = Usage()

    def note(self, now_s: float) -> None:
        """Take note of how full the tiers are from now on."""
        self._blocks.note(now_s, self._pool.used_blocks)
        if self._lmcache is not None:
            self._chunks.note(now_s, self._lmcache.cpu.used_chunks)

    def rows(self, requests: Columns, end_s: float) -> list[dict[str, Any]]:
        """Describe the use from time 0 to `end_s` by the requests that this instance served."""
        mine = requests["instance"] == self._instance
        pool, block_bytes = self._pool, self._block_bytes
        rows = [
            {
                "instance": self._instance,
                "tier": "hbm",
                "capacity_bytes": pool.num_blocks * block_bytes,
                "mean_used_bytes": round(self._blocks.mean(end_s) * block_bytes),
                "peak_used_bytes": self._blocks.peak * block_bytes,
                "lookups": int(mine.sum()),
                "hit_tokens": int(requests["hit_tokens_hbm"][mine].sum()),
                "evicted_bytes": pool.evicted_blocks * block_bytes,
            }
        ]
        if self._lmcache is not None:
            cpu, chunk_bytes = self._lmcache.cpu, self._lmcache.chunk_bytes
            rows.append(
                {
                    "instance": self._instance,
                    "tier": "cpu",
                    "capacity_bytes": cpu.capacity_chunks * chunk_bytes,
                    "mean_used_bytes": round(self._chunks.mean(end_s) * chunk_bytes),
                    "peak_used_bytes": self._chunks.peak * chunk_bytes,
                    "lookups": self._lmcache.lookups,
                    "hit_tokens": int(requests["hit_tokens_cpu"][mine].sum()),
                    "evicted_bytes": cpu.evicted_chunks * chunk_bytes,
                }
            )
        return rows


def kept_by_tenants(
    tenants: Iterable[str],
    cpu_tiers: Iterable[ChunkTier],
    store: RemoteStore | None,
    cpu_chunk_bytes: int,
    remote_chunk_bytes: int,
) -> dict[str, dict[str, int | None]]:
    """Give the most that each tenant took of the tiers and what of it was evicted.

    CPU tiers are added up; None where the tier keeps no account of tenants.
    """
    cpu = [tier for tier in cpu_tiers if isinstance(tier, TenantTier)]
    remote = [store.tier] if isinstance(store, LimitedStore) else []
    shared = [tier for tier in remote if isinstance(tier, TenantTier)]
    kept: dict[str, dict[str, int | None]] = {}
    for tenant in tenants:
        kept[tenant] = row = {}
        for name, tiers, size in (
            ("cpu", cpu, cpu_chunk_bytes),
            ("remote", shared, remote_chunk_bytes),
        ):
            peak = sum(tier.peak_of[tenant] for tier in tiers) * size
            evicted = sum(tier.evicted_of[tenant] for tier in tiers) * size
            row[f"{name}_peak_bytes"] = peak if tiers else None
            row[f"{name}_evicted_bytes"] = evicted if tiers else None
    return kept
