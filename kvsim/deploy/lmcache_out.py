"""Write the LMCache YAML of a scenario, for LMCache 0.5 inside the vLLM worker."""

from __future__ import annotations

import json
import math

from kvsim.deploy.lmcache_keys import GIB, POLICIES
from kvsim.errors import ConfigError
from kvsim.spec.scenario import Scenario
from kvsim.spec.storage import FileStorageSpec, ObjectClient, ObjectStorageSpec
from kvsim.units import format_bytes

STAGING_GIB = 5.0
"""LMCache's default pool, which loads and stores pass through where there is no CPU tier."""
Line = tuple[str, object, str]
"""Key, value and a comment beside it (may be empty)."""


def lmcache_config(scenario: Scenario) -> str:
    """Return the LMCache YAML of a scenario; what only the site knows is marked `fill in`.

    What-ifs that LMCache does not have (its eviction policies are lru, fifo, lfu and mru) are a
    ConfigError, and so is a scenario without LMCache.
    """
    offload = scenario.offload
    if offload.connector == "none":
        raise ConfigError(
            "offload.connector: none has no LMCache settings; set it to lmcache_inproc"
        )
    if offload.cpu.eviction not in POLICIES:
        raise ConfigError(
            f"offload.cpu.eviction: {offload.cpu.eviction} is a what-if that LMCache does not "
            f"have; deploy one of {', '.join(POLICIES)}"
        )
    if offload.cpu.admission != "all":
        raise ConfigError(
            f"offload.cpu.admission: {offload.cpu.admission} is a what-if that LMCache does not "
            "have; deploy all"
        )
    lines = [
        f"# LMCache 0.5 settings of {scenario.name}: the same file for every instance.",
        *_left_out(scenario),
        *_render(_basics(scenario)),
    ]
    if offload.remote is not None:
        store = offload.remote.profile
        lines += _render(_remote(store))
        extra = _file(store) if isinstance(store, FileStorageSpec) else _object(store)
        lines += ["extra_config:", *(f"  {line}" for line in _render(extra))]
        if isinstance(store, ObjectStorageSpec):
            lines += _client_notes(store)
    return "\n".join(lines) + "\n"


def _left_out(scenario: Scenario) -> list[str]:
    """Say what of a scenario no setting of LMCache brings about."""
    remote, said = scenario.offload.remote, []
    if scenario.tenants is not None:
        said.append("# Not here: shares of a tier for tenants, which LMCache does not have.")
    if remote is not None and (remote.capacity is not None or remote.eviction != "lru"):
        said.append("# Not here: the store's limit. LMCache never evicts from it; give it a rule.")
    return said


def _basics(scenario: Scenario) -> list[Line]:
    offload, ranks = scenario.offload, scenario.engine.tensor_parallel_size
    capacity = offload.cpu.capacity
    total = format_bytes(capacity * ranks * scenario.instances)
    count = ranks * scenario.instances
    size = (
        f"GiB per rank; {count} rank{'s' if count > 1 else ''} in all: {total} of host memory"
        if capacity
        else "no CPU tier; loads and stores pass through this pool (GiB)"
    )
    return [
        ("chunk_size", offload.chunk_tokens, "tokens"),
        ("local_cpu", capacity > 0, ""),
        ("max_local_cpu_size", capacity / GIB if capacity else STAGING_GIB, size),
        ("cache_policy", offload.cpu.eviction.upper(), ""),
        ("save_decode_cache", offload.save_decode_cache, ""),
        ("min_retrieve_tokens", offload.min_retrieve_tokens, ""),
        ("lookup_timeout_ms", *_whole(offload.lookup_timeout * 1e3, "ms")),
        ("blocking_timeout_secs", *_whole(offload.blocking_timeout, "s")),
    ]


def _whole(value: float, unit: str) -> tuple[int, str]:
    """LMCache takes whole numbers here; say so where that changes the value."""
    whole = max(1, math.ceil(round(value, 9)))
    said = "" if abs(whole - value) < 1e-6 else f"rounded up; simulated: {value:g} {unit}"
    return whole, said


def _remote(store: FileStorageSpec | ObjectStorageSpec) -> list[Line]:
    if isinstance(store, FileStorageSpec):
        url = "fs://localhost:0/mnt/kv-cache"
        said = f"fill in: the mount of {store.name}, one path on all hosts"
    else:
        url, said = "s3://BUCKET.ENDPOINT", f"fill in: bucket and address of {store.name}"
    return [("remote_url", url, said), ("remote_serde", "naive", "raw bytes")]


def _file(store: FileStorageSpec) -> list[Line]:
    direct = store.page_cache == 0
    return [
        ("save_chunk_meta", False, "a header in each file would rule O_DIRECT out"),
        (
            "fs_connector_use_odirect",
            direct,
            "as simulated: no page cache" if direct else "as simulated: re-reads from page cache",
        ),
    ]


def _object(store: ObjectStorageSpec) -> list[Line]:
    return [
        ("s3_region", "us-east-1", "fill in"),
        ("s3_num_io_threads", 320, "event loops, not connections; as in the measured runs"),
        ("s3_prefer_http2", False, ""),
        ("s3_enable_s3express", store.name == "s3-express", ""),
        ("save_chunk_meta", False, ""),
        ("disable_tls", False, "true for an endpoint without TLS"),
    ]


def _client_notes(store: ObjectStorageSpec) -> list[str]:
    """Say what the client does by itself, and where the scenario differs from that."""
    client = store.client
    lines = [
        "# Credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.",
        f"# No key sets connections ({client.connections}), uploads at a time ({client.uploads}) "
        f"or parts ({format_bytes(client.part)}).",
    ]
    for name in ("connections", "uploads", "part"):
        usual = ObjectClient.model_fields[name].default
        if getattr(client, name) != usual:
            lines.append(
                f"# The scenario's {name} ({getattr(client, name)}) is a what-if: LMCache's client "
                f"takes {usual}."
            )
    return lines


def _render(lines: list[Line]) -> list[str]:
    return [
        f"{key}: {json.dumps(value)}" + (f"  # {said}" if said else "")
        for key, value, said in lines
    ]
