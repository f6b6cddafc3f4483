"""Change single keys of a scenario's plain data, named by dotted paths."""

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from kvsim.errors import ConfigError
from kvsim.spec.offload import BY_HAND
from kvsim.spec.profiles import ProfileKind, Roots, resolve
from kvsim.spec.yamlfile import parse_value

_PROFILES: dict[tuple[str, ...], ProfileKind] = {
    ("model",): "models",
    ("gpu",): "gpus",
    ("host",): "hosts",
    ("offload", "remote", "profile"): "storage",
}
_REMOTE = ("offload", "remote")


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split "workload.qps=3" into the path and the value, read as YAML would read it."""
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not path:
        raise ConfigError(f"{text!r} is not an assignment; write path=value, e.g. workload.qps=3")
    return path, parse_value(value, path)


def apply_changes(
    data: Mapping[str, Any], changes: Mapping[str, Any], roots: Roots
) -> dict[str, Any]:
    """Return a copy of a scenario's data with the changes made, blocks before their keys.

    Profiles that the data only name are read when a change reaches into them. Keys are not
    checked here: validation knows them.
    """
    changed = copy.deepcopy(dict(data))
    for path, value in sorted(changes.items(), key=lambda item: item[0].count(".")):
        parts = tuple(path.split("."))
        if not all(parts):
            raise ConfigError(f"{path!r} is no path; write e.g. 'offload.cpu.capacity'")
        if parts == ("offload", "remote", "profile"):
            _block(changed, _REMOTE, roots, path).pop("client", None)
        block = _block(changed, parts[:-1], roots, path)
        block[parts[-1]] = value
        _mark_source(changed, parts, roots)
    return changed


def _block(data: dict[str, Any], parts: tuple[str, ...], roots: Roots, path: str) -> dict[str, Any]:
    """Walk down to a block, opening what is a name, a spec or absent on the way."""
    block = data
    for n, part in enumerate(parts, start=1):
        here = parts[:n]
        inner = block.get(part)
        if here in _PROFILES:
            inner = resolve(_PROFILES[here], inner, roots)
        elif here == _REMOTE and isinstance(inner, str):
            inner = {"profile": inner}
        if isinstance(inner, BaseModel):
            inner = inner.model_dump(mode="json")
        elif inner is None:
            inner = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"{path}: {'.'.join(here)} is a single value with no keys inside")
        block[part] = inner
        block = inner
    return block


def _mark_source(data: dict[str, Any], parts: tuple[str, ...], roots: Roots) -> None:
    """Give a profile's number that was changed by hand a source that says so."""
    for place in _PROFILES:
        inner = parts[len(place) :]
        if parts[: len(place)] != place or not inner or inner[0] in ("name", "sources"):
            continue
        profile = _block(data, place, roots, ".".join(parts))
        known = profile.get("sources")
        if isinstance(known, dict):
            own = ".".join(inner)
            kept = {key: value for key, value in known.items() if not key.startswith(own + ".")}
            profile["sources"] = kept | {own: BY_HAND}
