"""Read an LMCache YAML into changes of a scenario."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kvsim.deploy.lmcache_keys import (
    GIB,
    KNOWN,
    KNOWN_EXTRA,
    NOT_MODELLED,
    POLICIES,
)
from kvsim.deploy.reading import Reading
from kvsim.errors import ConfigError
from kvsim.spec.problems import suggest
from kvsim.spec.yamlfile import parse_value, read_mapping

FILE_STORE = "ontap-pnfs-rdma"
OBJECT_STORE = "storagegrid-s3"
"""Profiles of stores whose address does not tell more than their kind."""


def scenario_changes_from_lmcache(source: str | Path, *, storage: str | None = None) -> Reading:
    """Read an LMCache YAML, a file or its text, into the changes of a scenario.

    Keys that the file leaves out have LMCache's defaults. No key says how fast a store is:
    `storage` names its profile, else one is assumed from the address, and a note says so.
    """
    where, data = _content(source)
    reading = Reading({})
    extra = data.get("extra_config") or {}
    if not isinstance(extra, Mapping):
        raise ConfigError(f"{where}: extra_config: is not a mapping")
    _judge_keys(data, extra, where, reading)
    value = _Values(data, where)
    has_cpu = value.flag("local_cpu", default=True)
    capacity = round(value.number("max_local_cpu_size", default=5.0) * GIB)
    if not has_cpu:
        reading.notes.append(
            "local_cpu: false is read as no CPU tier; the pool that loads pass through is not "
            "modelled"
        )
    policy = str(data.get("cache_policy") or "LRU").lower()
    if policy not in POLICIES:
        raise ConfigError(
            f"{where}: cache_policy: {data['cache_policy']!r} is not modelled; LMCache's "
            f"{', '.join(POLICIES)} are"
        )
    reading.changes.update(
        {
            "offload.connector": "lmcache_inproc",
            "offload.chunk_tokens": value.whole("chunk_size", default=256),
            "offload.save_decode_cache": value.flag("save_decode_cache", default=False),
            "offload.min_retrieve_tokens": value.whole("min_retrieve_tokens", default=0),
            "offload.lookup_timeout": value.number("lookup_timeout_ms", default=3000) / 1e3,
            "offload.blocking_timeout": value.number("blocking_timeout_secs", default=10),
            "offload.cpu.capacity": capacity if has_cpu else 0,
            "offload.cpu.eviction": policy,
            "offload.cpu.admission": "all",
        }
    )
    reading.changes["offload.remote"] = _remote(data, extra, where, storage, reading)
    return reading


def _content(source: str | Path) -> tuple[str, dict[str, Any]]:
    """Tell a path from a YAML text, which holds a colon and a space, or several lines."""
    if isinstance(source, Path) or not re.search(r":\s|\n", source):
        return str(source), read_mapping(Path(source))
    data = parse_value(source, "the LMCache settings")
    if not isinstance(data, dict):
        raise ConfigError("the LMCache settings: no mapping; write e.g. 'chunk_size: 256'")
    return "the LMCache settings", data


def _judge_keys(
    data: Mapping[str, Any], extra: Mapping[str, Any], where: str, reading: Reading
) -> None:
    words = [(key, key, KNOWN) for key in data]
    words += [(f"extra_config.{key}", key, KNOWN_EXTRA) for key in extra]
    for path, key, known in words:
        if key not in known and not key.startswith("remote_storage_plugin."):
            reading.warnings.append(f"{where}: {path}: unknown key; {_hint(key, known)}")
    for key, (usual, means) in NOT_MODELLED.items():
        if key in data and data[key] not in (usual, None):
            reading.notes.append(f"{key}: {data[key]} is not modelled ({means})")


def _hint(key: str, known: tuple[str, ...]) -> str:
    hint = suggest(key, known)
    return hint if hint.startswith("did you mean") else "LMCache 0.5.0 has no such key"


class _Values:
    """Typed access to the file's values, with its name in every complaint."""

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self._data = data
        self._where = where

    def number(self, key: str, *, default: float) -> float:
        value = self._data.get(key)
        if value is None:
            return float(default)
        try:
            number = -1.0 if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = -1.0
        if not 0 <= number < 1e15:
            raise ConfigError(f"{self._where}: {key}: {value!r:.60} is not a number of at least 0")
        return number

    def whole(self, key: str, *, default: int) -> int:
        number = self.number(key, default=default)
        if not number.is_integer():
            raise ConfigError(f"{self._where}: {key}: {number:g} is not a whole number")
        return int(number)

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._data.get(key)
        if value is None:
            return default
        # YAML 1.2 reads Python's True as a text, which LMCache's YAML 1.1 takes as true.
        words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        found = words.get(str(value).lower())
        if found is None:
            raise ConfigError(f"{self._where}: {key}: {value!r:.60} is not true or false")
        return found


def _remote(
    data: Mapping[str, Any],
    extra: Mapping[str, Any],
    where: str,
    storage: str | None,
    reading: Reading,
) -> dict[str, Any] | None:
    plugins = data.get("remote_storage_plugins") or []
    url = data.get("remote_url")
    if not isinstance(plugins, list):
        plugins = [plugins]
    if url is None and plugins:
        name = str(plugins[0])
        url = (
            f"{name.partition('.')[0]}://{extra.get(f'remote_storage_plugin.{name}.base_path', '')}"
        )
    if url is None:
        if storage is not None:
            raise ConfigError(f"{where}: has no remote_url, so --storage {storage} has no place")
        return None
    try:
        parts = urlsplit(str(url))
    except ValueError as error:
        raise ConfigError(f"{where}: remote_url: {url!r:.60} is no address ({error})") from None
    if parts.scheme not in ("fs", "s3"):
        raise ConfigError(
            f"{where}: remote_url: {url!r:.60} is not modelled; kvsim knows fs:// and s3://"
        )
    serde = data.get("remote_serde") or "naive"
    if serde != "naive":
        reading.notes.append(
            f"remote_serde: {serde} is not modelled; chunks are taken as raw bytes"
        )
    if storage is None:
        storage = _assumed(parts.scheme, f"{parts.netloc}{parts.path}", extra)
        reading.notes.append(
            f"{url} does not say how fast the store is: {storage} is assumed; name its profile "
            "with --storage"
        )
    return {"profile": storage}


def _assumed(scheme: str, address: str, extra: Mapping[str, Any]) -> str:
    if scheme == "fs":
        return "tmpfs-file" if "/dev/shm" in address else FILE_STORE
    if str(extra.get("s3_enable_s3express")).lower() == "true":
        return "s3-express"
    return "s3-standard" if "amazonaws.com" in address else OBJECT_STORE
