"""A design in other shapes: the command that runs it, files, an HTML page."""

from __future__ import annotations

import io
import json
import shlex
from typing import Any

import pandas as pd

from kvsim.app.presets import load_preset, presets
from kvsim.errors import ConfigError
from kvsim.spec.load import list_profiles
from kvsim.spec.profiles import ProfileKind
from kvsim.spec.scenario import Scenario
from kvsim.spec.slo import SloSpec
from kvsim.spec.yamlfile import yaml_text

_PROFILES: tuple[tuple[str, ProfileKind], ...] = (
    ("model", "models"),
    ("gpu", "gpus"),
    ("host", "hosts"),
)
_STORE = "offload.remote"
_MOST_CHARS = 800
"""Longer command lines are worse than a file."""


def scenario_yaml(scenario: Scenario) -> str:
    """Write a scenario as the file that `kvsim run` reads."""
    return yaml_text(scenario.to_dict())


def command(preset: str, scenario: Scenario) -> str:
    """Write the command line that runs a design: a preset with changes, else its own file."""
    by_file = shlex.join(["kvsim", "run", f"{scenario.name}.yaml"])
    changes = _changes(load_preset(preset), scenario)
    if changes is None:
        return by_file
    path = presets()[preset]
    folder = "experiments/validation" if path.parent.name == "validation" else "experiments"
    words = ["kvsim", "run", f"{folder}/{path.name}"]
    promise = scenario.slo
    if "slo" in changes and promise is not None and promise == SloSpec.model_validate(promise.text):
        changes["slo"] = promise.text
    for name, value in changes.items():
        words += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    line = shlex.join(words)
    return line if len(line) <= _MOST_CHARS else by_file


def _changes(base: Scenario, scenario: Scenario) -> dict[str, Any] | None:
    """Find the changes that make a preset the design; None if they do not suffice."""
    changes: dict[str, Any] = {}
    for path, kind in _PROFILES:
        name = getattr(scenario, path).name
        if name != getattr(base, path).name and name in list_profiles(kind):
            changes[path] = name
    store = scenario.offload.remote
    if store is None:
        if base.offload.remote is not None:
            changes[_STORE] = None
    elif base.offload.remote is None or store.profile.name != base.offload.remote.profile.name:
        changes[_STORE] = {"profile": store.profile.name}
    try:
        changes |= _leaves(base.replace(changes).to_dict(), scenario.to_dict(), "")
        same = _plain(base.replace(changes)) == _plain(scenario)
    except ConfigError:
        return None
    return changes if same else None


def differences(first: Scenario, other: Scenario) -> list[str]:
    """Say what a design has that another has not, a key each; profiles by their names."""
    names = {path: getattr(other, path).name for path, _ in _PROFILES}
    lines = [f"{path} {name}" for path, name in names.items() if name != getattr(first, path).name]
    try:
        changes = _leaves(_plain(first), _plain(other), "")
    except ConfigError:
        changes = {}
    for path, value in changes.items():
        if path.split(".")[0] not in names:
            lines.append(f"{path} {_name(value)}")
    return lines


def _name(value: Any) -> Any:
    """Name a block by itself or by its profile."""
    if not isinstance(value, dict):
        return value
    return value.get("name") or value.get("profile", {}).get("name", "another")


def _leaves(old: Any, new: Any, path: str) -> dict[str, Any]:
    """List the keys that differ; a part with other keys is one of them."""
    if old == new:
        return {}
    if isinstance(old, dict) and isinstance(new, dict):
        if old.keys() == new.keys():
            return {
                key: value
                for name in new
                if name != "sources"
                for key, value in _leaves(old[name], new[name], f"{path}.{name}".strip(".")).items()
            }
        if "sources" in new:
            raise ConfigError(f"{path}: is another profile")
    return {path: new}


def _plain(scenario: Scenario) -> Any:
    """Drop the sources: a number that was set by hand says so, whichever way it was set."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(inner) for key, inner in value.items() if key != "sources"}
        return value

    return strip(scenario.to_dict())


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Write a table as CSV."""
    return table.to_csv(index=False).encode()


def parquet_bytes(table: pd.DataFrame) -> bytes:
    """Write a table as Parquet."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
