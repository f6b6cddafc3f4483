"""A design in a link: its preset and what differs from it, packed into one query parameter.

A link comes from a stranger. It is bounded before and while it is unpacked, it is JSON, and it
may only hold values: whatever would make kvsim open a file (a profile by name or path, a trace, a
store's earlier content) is refused, unless it is the preset's own.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from typing import Any

from kvsim.app.presets import load_preset
from kvsim.errors import ConfigError
from kvsim.spec.scenario import Scenario

MAX_LINK_CHARS = 16_384
"""Longest parameter: browsers and proxies cut longer addresses."""
MAX_JSON_BYTES = 262_144
"""Most that a parameter may unpack to."""
_REPLACED = "="
"""Marks a part that is given whole instead of by its differences."""
_BROKEN = "the link is damaged or not from kvsim; ask for a new one"


def encode(preset: str, scenario: Scenario) -> str:
    """Pack a design; ConfigError if it cannot be told without a file."""
    base = load_preset(preset).to_dict()
    data = scenario.to_dict()
    _refuse_files(data, base)
    text = json.dumps({"preset": preset, "diff": _diff(base, data)}, separators=(",", ":"))
    packed = base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")
    if len(packed) > MAX_LINK_CHARS:
        raise ConfigError("this design is too large for a link; download its scenario instead")
    return packed


def decode(text: str) -> tuple[str, Scenario]:
    """Unpack a preset's name and a design; ConfigError for whatever is wrong with it."""
    if len(text) > MAX_LINK_CHARS:
        raise ConfigError(f"the link is longer than {MAX_LINK_CHARS:,} characters; {_BROKEN}")
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(packed, MAX_JSON_BYTES)
        content = json.loads(plain.decode("utf-8")) if unpacker.eof else None
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        raise ConfigError(_BROKEN) from None
    if unpacker.unconsumed_tail:
        raise ConfigError(f"the link unpacks to more than {MAX_JSON_BYTES:,} bytes; {_BROKEN}")
    if not isinstance(content, dict) or content.keys() != {"preset", "diff"}:
        raise ConfigError(_BROKEN)
    preset, diff = content["preset"], content["diff"]
    if not isinstance(preset, str):
        raise ConfigError(_BROKEN)
    base = load_preset(preset).to_dict()
    data = _merge(base, diff)
    _refuse_files(data, base)
    return preset, Scenario.from_dict(data, where="the link")


def _diff(base: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Tell what differs, key by key; parts with other keys are given whole."""
    if base.keys() != data.keys():
        return {_REPLACED: dict(data)}
    found: dict[str, Any] = {}
    for key, value in data.items():
        old = base[key]
        if value == old:
            continue
        both = isinstance(value, dict) and isinstance(old, dict)
        found[key] = _diff(old, value) if both else {_REPLACED: value}
    return found


def _merge(base: Any, diff: Any) -> Any:
    if not isinstance(diff, dict):
        raise ConfigError(_BROKEN)
    if diff.keys() == {_REPLACED}:
        return diff[_REPLACED]
    if not isinstance(base, dict) or diff.keys() - base.keys():
        raise ConfigError(_BROKEN)
    return {key: _merge(old, diff[key]) if key in diff else old for key, old in base.items()}


def _refuse_files(data: Any, base: Mapping[str, Any]) -> None:
    """Insist that every part is inline, so that validating it opens nothing."""
    if not isinstance(data, dict):
        raise ConfigError(_BROKEN)
    offload, workload = data.get("offload", {}), data.get("workload", {})
    remote = offload.get("remote") if isinstance(offload, dict) else offload
    inline = {
        "model": data.get("model"),
        "gpu": data.get("gpu"),
        "host": data.get("host"),
        "offload": offload,
        "workload": workload,
        "calibration": data.get("calibration") or {},
        "offload.remote": remote or {},
    }
    if isinstance(remote, dict):
        inline["offload.remote.profile"] = remote.get("profile")
    for path, part in inline.items():
        if not isinstance(part, dict):
            raise ConfigError(f"{path}: a link may not name files or profiles; {_BROKEN}")
    if isinstance(remote, dict) and remote.get("start_from") is not None:
        own = (base["offload"]["remote"] or {}).get("start_from")
        if remote["start_from"] != own:
            raise ConfigError("offload.remote.start_from: a link may not name files")
    if workload.get("kind") == "trace" or "file" in workload:
        raise ConfigError(
            "workload: a trace does not travel in a link; download the scenario and send both"
        )
