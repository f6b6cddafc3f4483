"""Set-ups of tiers to choose among, and changes that are the same what-if for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvsim.errors import ConfigError
from kvsim.spec.memory import block_bytes
from kvsim.spec.offload import CpuTierSpec
from kvsim.spec.profiles import load_profile
from kvsim.spec.scenario import Scenario
from kvsim.spec.storage import FileStorageSpec, ObjectStorageSpec
from kvsim.spec.trace_workload import ReplaySpec
from kvsim.spec.workload import MultiRoundQaSpec

Changes = dict[str, Any]
STORES = ("ontap-pnfs-rdma", "storagegrid-s3")
"""Stores that are compared unless told otherwise: one of files, one of objects."""
GPU, CPU, MORE_CPU = "gpu", "cpu", "cpu-2x"
_NO_OFFLOAD: Changes = {"offload.connector": "none", "offload.remote": None}
_OFFLOAD: Changes = {"offload.connector": "lmcache_inproc", "offload.remote": None}
_STORE = "offload.remote.profile"
_CONTEXT_FACTORS = (2.0, 1.5, 1.25)


@dataclass(frozen=True)
class WhatIf:
    """One thing that is different; `change` gives None where it does not apply."""

    name: str
    change: Callable[[Scenario], Changes | None]

    def of(self, scenario: Scenario) -> Scenario | None:
        """Return the changed scenario, the same where it has no such part, None if it is none."""
        changes = self.change(scenario)
        try:
            return None if changes is None else scenario.replace(changes)
        except ConfigError:
            return None


def default_setups(
    scenario: Scenario, storage: Sequence[str] = (), *, profiles: Path | None = None
) -> dict[str, Changes]:
    """Return GPU memory alone, with CPU memory, with twice of it, and with each store."""
    capacity = scenario.offload.cpu.capacity or int(CpuTierSpec.model_fields["capacity"].default)
    offload = _OFFLOAD | {"offload.cpu.capacity": capacity}
    setups = {
        GPU: _NO_OFFLOAD,
        CPU: offload,
        MORE_CPU: offload | {"offload.cpu.capacity": 2 * capacity},
    }
    own = scenario.offload.remote
    if own is not None and not storage and own.profile.name not in STORES:
        setups[own.profile.name] = offload | {"offload.remote": own.model_dump(mode="json")}
    for name in storage or STORES:
        store = load_profile("storage", name, profiles=profiles)
        setups[store.name] = offload | {
            "offload.remote": {"profile": store.model_dump(mode="json")}
        }
    return setups


def title(name: str, setup: Scenario) -> str:
    """Name a set-up in words; one that nobody but its author knows keeps its name."""
    remote = setup.offload.remote
    if remote is not None and remote.profile.name == name:
        return f"CPU memory and {name}"
    known = {GPU: "GPU memory alone", CPU: "CPU memory", MORE_CPU: "twice the CPU memory"}
    return known.get(name, name)


def what_ifs(scenario: Scenario) -> list[WhatIf]:
    """List one-at-a-time changes of the load and the hardware that may move a decision."""
    found = [*_loads(scenario)]
    found.append(WhatIf("twice the CPU memory", _twice_cpu))
    found.append(WhatIf("stores of half the bandwidth", _half_store))
    if scenario.instances > 1 and scenario.router != "session":
        found.append(WhatIf("sessions that stay on one instance", lambda _: {"router": "session"}))
    return found


def reliefs(scenario: Scenario) -> dict[str, Changes]:
    """List, for each resource of one set-up, what doubles it (latencies: halves them)."""
    gpu, host, offload = scenario.gpu, scenario.host, scenario.offload
    blocks = scenario.num_gpu_blocks
    found: dict[str, Changes] = {
        "GPU compute": {
            "gpu.peak_flops": 2 * gpu.peak_flops,
            "gpu.hbm_bandwidth": 2 * gpu.hbm_bandwidth,
        },
        "GPU memory": {
            "engine.num_gpu_blocks": 2 * blocks,
            "gpu.memory": gpu.memory + blocks * block_bytes(scenario.model, scenario.engine),
        },
    }
    if offload.connector == "none":
        return found
    found["CPU memory"] = _twice_cpu(scenario)
    found["copies between CPU and GPU"] = {
        "host.load.bandwidth": 2 * host.load.bandwidth,
        "host.store.bandwidth": 2 * host.store.bandwidth,
    }
    if offload.remote is not None:
        store = offload.remote.profile
        found["reads from the store"] = _rates(store, 2.0, ("read",))
        found["writes to the store"] = _rates(store, 2.0, ("write",))
        found["latency of the store"] = _latencies(store, 0.5)
    return found


def _loads(scenario: Scenario) -> list[WhatIf]:
    work = scenario.workload
    if isinstance(work, MultiRoundQaSpec):
        found = []
        for factor in _CONTEXT_FACTORS:
            longer = _context(factor)
            if longer.of(scenario) is not None:
                found.append(longer)
                break
        return [*found, _context(0.5), _users(2.0), _users(0.5)]
    assert isinstance(work, ReplaySpec)
    scale = work.user_scale
    return [
        WhatIf("twice the users", lambda _: {"workload.user_scale": 2 * scale}),
        WhatIf("half the users", lambda _: {"workload.user_scale": scale / 2}),
    ]


def _context(factor: float) -> WhatIf:
    def change(scenario: Scenario) -> Changes | None:
        work = scenario.workload
        assert isinstance(work, MultiRoundQaSpec)
        return {"workload.user_history_prompt": round(work.user_history_prompt * factor)}

    return WhatIf(f"contexts {_times(factor)} as long", change)


def _users(factor: float) -> WhatIf:
    def change(scenario: Scenario) -> Changes | None:
        work = scenario.workload
        assert isinstance(work, MultiRoundQaSpec)
        users = round(work.num_users * factor)
        return (
            {"workload.num_users": users, "workload.qps": work.qps * users / work.num_users}
            if users
            else None
        )

    return WhatIf(f"{_times(factor)} the users", change)


def _times(factor: float) -> str:
    return {2.0: "twice", 0.5: "half"}.get(factor, f"{factor:g} times")


def _twice_cpu(scenario: Scenario) -> Changes:
    if scenario.offload.connector == "none":
        return {}
    return {"offload.cpu.capacity": 2 * scenario.offload.cpu.capacity}


def _half_store(scenario: Scenario) -> Changes:
    remote = scenario.offload.remote
    return {} if remote is None else _rates(remote.profile, 0.5, ("read", "write"))


def _rates(
    store: FileStorageSpec | ObjectStorageSpec, factor: float, directions: Sequence[str]
) -> Changes:
    """Scale a store's rates: the server's, a stream's and a client's."""
    is_file = isinstance(store, FileStorageSpec)
    stream = "per_stream" if is_file else "per_connection"
    client = "mount_bandwidth" if is_file else "body_bandwidth"
    paths = [f"{way}.{key}" for way in directions for key in ("bandwidth", stream)]
    return _scaled(store, factor, [*paths, f"client.{client}"])


def _latencies(store: FileStorageSpec | ObjectStorageSpec, factor: float) -> Changes:
    if isinstance(store, FileStorageSpec):
        return _scaled(store, factor, ["stat", "read.latency", "write.latency"])
    paths = ["head", "client.head_overhead", "read.first_byte", "write.first_byte"]
    return _scaled(store, factor, paths)


def _scaled(
    store: FileStorageSpec | ObjectStorageSpec, factor: float, paths: Sequence[str]
) -> Changes:
    data: Mapping[str, Any] = store.model_dump()
    changes: Changes = {}
    for path in paths:
        value: Any = data
        for part in path.split("."):
            value = value[part]
        changes[f"{_STORE}.{path}"] = value * factor
    return changes
