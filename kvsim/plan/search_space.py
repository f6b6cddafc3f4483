"""The designs of a search: which there are, and the scenario that each stands for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from kvsim.errors import ConfigError
from kvsim.spec.base import Count, PositiveCount, Spec
from kvsim.spec.cost import PriceList
from kvsim.spec.problems import problem_line
from kvsim.spec.scenario import Scenario
from kvsim.spec.slo import SloSpec
from kvsim.spec.space import AxisSpec, Space, reads_bytes
from kvsim.spec.yamlfile import read_mapping
from kvsim.units import parse_bytes

Design = dict[str, Any]
"""Values by dotted path."""

STORE = "offload.remote.profile"
DEFAULT_CPU_BYTES = (0, 25 * 2**30, 50 * 2**30, 100 * 2**30, 200 * 2**30)
DEFAULT_TRIALS = 24


class SearchSpec(Spec):
    """A search file."""

    name: str
    """What the search is called."""
    scenario: str | dict[str, Any]
    """The scenario with the load to carry: a file beside the search file, or a mapping."""
    changes: dict[str, Any] = Field(default_factory=dict)
    """Changes to the scenario that hold for every design."""
    space: Space
    """What may be chosen, by dotted path: {low: 1, high: 4}, {choices: [...]} or a list."""
    slo: SloSpec | None = None
    """The promise that a design has to keep; none: the scenario's, if it has one."""
    objectives: list[str] = Field(default=["usd_per_hour"], min_length=1)
    """What is made small or large; the first decides, several make a frontier."""
    constraints: list[str] = Field(default_factory=list)
    """Further limits, e.g. 'usd_per_hour<20' or 'gpus<=4'."""
    trials: PositiveCount = DEFAULT_TRIALS
    """Most designs that are simulated."""
    seed: Count = 0
    """Seed of the sampler."""


def load_search(path: Path) -> SearchSpec:
    """Read a search file."""
    try:
        return SearchSpec.model_validate(read_mapping(path))
    except ValidationError as error:
        raise ConfigError(problem_line(error, SearchSpec, str(path))) from None


def read_space(axes: Mapping[str, Any]) -> dict[str, AxisSpec]:
    """Read axes from plain values, sizes as whole bytes."""
    try:
        space = TypeAdapter(Space).validate_python(dict(axes))
    except ValidationError as error:
        raise ConfigError(problem_line(error, dict[str, AxisSpec], "space")) from None
    return {path: _sizes(axis) if reads_bytes(path) else axis for path, axis in space.items()}


def _sizes(axis: AxisSpec) -> AxisSpec:
    if axis.choices is None:
        return axis
    return AxisSpec(choices=tuple(parse_bytes(value) for value in axis.choices))


def default_space(scenario: Scenario, prices: PriceList) -> dict[str, AxisSpec]:
    """Give what is worth trying where nobody says: instances, priced GPUs, CPU memory, the store.

    GPUs are those of one price list, for prices of several markets do not compare.
    """
    most = max(4, 2 * scenario.instances)
    gpus = sorted({*prices.gpu_usd_per_hour, scenario.gpu.name})
    axes: dict[str, Any] = {
        "instances": {"low": 1, "high": most},
        "gpu": gpus,
        "offload.cpu.capacity": DEFAULT_CPU_BYTES,
    }
    remote = scenario.offload.remote
    if remote is not None:
        axes[STORE] = [None, remote.profile.name]
    return read_space(axes)


def size_of(space: Mapping[str, AxisSpec]) -> int | None:
    """Count the designs, None where there is no end of them."""
    counts = [None if axis.values is None else len(axis.values) for axis in space.values()]
    return None if None in counts else math.prod(count for count in counts if count is not None)


def all_designs(space: Mapping[str, AxisSpec]) -> Iterator[Design]:
    """Yield every design of a finite space, the last axis fastest."""
    for values in product(*(axis.values or () for axis in space.values())):
        yield dict(zip(space, values, strict=True))


def scenario_of(base: Scenario, design: Design, *, profiles: Path | None = None) -> Scenario:
    """Return the scenario with a design in place of its own values.

    A store of null is no remote tier. Tiers bring LMCache where the scenario has no connector, and
    no tier at all takes it away. A measured number of GPU blocks belongs to the scenario's own GPU.
    """
    changes = dict(design)
    if STORE in changes and changes[STORE] is None:
        del changes[STORE]
        changes["offload.remote"] = None
    if changes.get("gpu", base.gpu.name) != base.gpu.name:
        changes.setdefault("engine.num_gpu_blocks", None)
    if "offload.connector" not in changes and any(p.startswith("offload.") for p in changes):
        capacity = parse_bytes(design.get("offload.cpu.capacity", base.offload.cpu.capacity))
        store = design.get(STORE, base.offload.remote)
        changes["offload.connector"] = "lmcache_inproc" if capacity or store else "none"
    return base.replace(changes, profiles=profiles)
