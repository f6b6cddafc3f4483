"""Where KV goes beyond the GPU: which connector, which tiers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from kvsim.errors import ConfigError
from kvsim.spec.base import (
    Bytes,
    Count,
    PositiveBytes,
    PositiveCount,
    PositiveSeconds,
    Profile,
    Spec,
)
from kvsim.spec.profiles import Roots, resolve
from kvsim.spec.storage import StorageSpec

EvictionName = Literal["lru", "fifo", "lfu", "mru", "s3fifo", "arc", "ttl", "cost_aware"]
AdmissionName = Literal["all", "second_hit"]
ConnectorName = Literal["none", "lmcache_inproc"]

BY_HAND = {"kind": "assumed", "how": "set in the scenario"}
"""Source of a number that a scenario puts in place of the profile's."""


class CpuTierSpec(Spec):
    """LMCache's pinned host memory."""

    capacity: Bytes = 5 * 2**30
    """Size per rank (bytes; LMCache's max_local_cpu_size, which counts GiB); 0: no tier."""
    eviction: EvictionName = "lru"
    """Which chunk goes first: lru, fifo, lfu and mru are LMCache's cache_policy; ttl is lru whose
    chunks are found only within `ttl` of their last use; the others are what-ifs."""
    ttl: PositiveSeconds = 300.0
    """Time since its last use after which a chunk is not found any more (s; eviction ttl only)."""
    admission: AdmissionName = "all"
    """Which chunks enter: all, as in LMCache, or second_hit: those that were computed before
    (vLLM's store_threshold: 2; the last 64,000 chunks are remembered)."""


class RemoteSpec(Spec):
    """A store that all instances share.

    A `client:` block in a file overrides keys of the profile's own `client` block.
    """

    profile: StorageSpec
    """The store: a profile's name, a path, or an inline mapping."""
    capacity: PositiveBytes | None = None
    """Most that the store keeps, what all ranks store together (bytes); none: no limit, as for
    LMCache's connectors, which never delete, and for S3 and file servers, which do not by
    themselves. A limit stands for somebody else's clean-up: a lifecycle rule, a cron job."""
    eviction: EvictionName = "lru"
    """Which chunk goes first when the store is full; a use is a look-up that finds it, or another
    upload. ttl: chunks are found only within `ttl` of their last use, with or without a limit."""
    ttl: PositiveSeconds = 86_400.0
    """Time since its last use after which a chunk is not found any more (s; eviction ttl only)."""
    start_from: Path | None = None
    """Folder of a saved run whose remote content is there at the start; none: empty."""

    @model_validator(mode="before")
    @classmethod
    def _merge_client(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, Mapping) or "profile" not in data:
            return data
        merged = dict(data)
        profile = resolve("storage", merged["profile"], info.context)
        overrides = merged.pop("client", None)
        if overrides is not None:
            if not isinstance(overrides, Mapping):
                raise ConfigError(f"client: {overrides!r:.60} is not a mapping of client settings")
            plain = profile.model_dump() if isinstance(profile, Profile) else profile
            if isinstance(plain, Mapping):
                sources = {f"client.{key}": BY_HAND for key in overrides}
                profile = dict(plain)
                profile["client"] = {**profile.get("client", {}), **overrides}
                profile["sources"] = {**profile.get("sources", {}), **sources}
        merged["profile"] = profile
        start = merged.get("start_from")
        if isinstance(start, str) and isinstance(info.context, Roots) and info.context.base:
            beside = info.context.base / start
            merged["start_from"] = beside if beside.exists() else start
        return merged

    @model_validator(mode="after")
    def _eviction_needs_a_limit(self) -> Self:
        if self.capacity is None and self.eviction not in ("lru", "ttl"):
            raise ConfigError(f"eviction: {self.eviction} counts only with a capacity; set that")
        return self


class OffloadSpec(Spec):
    """Which KV tiers there are below the GPU."""

    connector: ConnectorName = "none"
    """vLLM's KV connector: none, or LMCache inside the vLLM worker."""
    chunk_tokens: PositiveCount = 256
    """Tokens of a chunk (LMCache's chunk_size), a multiple of the engine's block."""
    save_decode_cache: bool = False
    """Whether generated tokens are stored as well."""
    min_retrieve_tokens: Count = 0
    """Smallest hit worth a load (tokens)."""
    lookup_timeout: PositiveSeconds = 3.0
    """Time after which a look-up gives no hit (s)."""
    blocking_timeout: PositiveSeconds = 10.0
    """Time after which a remote load gives nothing (s)."""
    cpu: CpuTierSpec = Field(default_factory=CpuTierSpec)
    """The CPU tier."""
    remote: RemoteSpec | None = None
    """The remote tier; none: there is none."""

    @field_validator("remote", mode="before")
    @classmethod
    def _profile_name_alone(cls, value: Any) -> Any:
        return {"profile": value} if isinstance(value, str) else value
