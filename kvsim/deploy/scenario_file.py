"""Write a scenario as a file that people can read and change."""

from __future__ import annotations

import io
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML

from kvsim.errors import ConfigError
from kvsim.spec.profiles import ProfileKind, load_profile
from kvsim.spec.scenario import Scenario

_PLACES: tuple[tuple[ProfileKind, tuple[str, ...]], ...] = (
    ("models", ("model",)),
    ("gpus", ("gpu",)),
    ("hosts", ("host",)),
    ("storage", ("offload", "remote", "profile")),
)


def scenario_text(scenario: Scenario) -> str:
    """Return a scenario's YAML, its profiles by name where they are as kvsim ships them."""
    data = scenario.to_dict()
    for kind, path in _PLACES:
        spec: Any = scenario
        block: Any = data
        for part in path:
            spec = getattr(spec, part) if spec is not None else None
        if not isinstance(spec, BaseModel) or not _is_shipped(kind, spec):
            continue
        for part in path[:-1]:
            block = block[part]
        block[path[-1]] = block[path[-1]]["name"]
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.representer.sort_base_mapping_type_on_output = False
    text = io.StringIO()
    yaml.dump(data, text)
    return text.getvalue()


def _is_shipped(kind: ProfileKind, spec: Any) -> bool:
    try:
        return bool(load_profile(kind, spec.name) == spec)
    except ConfigError:
        return False
