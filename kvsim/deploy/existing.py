"""An existing deployment, LMCache's YAML and vLLM's arguments together, as one scenario."""

from __future__ import annotations

from pathlib import Path

from kvsim.deploy.lmcache_in import scenario_changes_from_lmcache
from kvsim.deploy.reading import Reading
from kvsim.deploy.vllm_in import scenario_changes_from_vllm_args
from kvsim.errors import ConfigError
from kvsim.spec.scenario import Scenario

__all__ = ["Reading", "existing_deployment"]


def existing_deployment(
    base: Scenario,
    *,
    lmcache: str | Path | None = None,
    vllm_args: str | None = None,
    storage: str | None = None,
    profiles: Path | None = None,
) -> tuple[Scenario, Reading]:
    """Put a deployment's settings in place of a scenario's, which gives workload and hardware.

    A store of the base scenario stays if it is of the kind that the YAML names (files or objects).
    """
    reading = Reading({})
    if vllm_args is not None:
        reading |= scenario_changes_from_vllm_args(vllm_args, profiles=profiles)
        if lmcache is not None and reading.changes["offload.connector"] == "none":
            raise ConfigError(
                "--vllm-args: without --kv-transfer-config vLLM never asks LMCache; add the flag "
                "or leave --from-lmcache out"
            )
    if lmcache is not None:
        reading |= scenario_changes_from_lmcache(lmcache, storage=storage)
    changes = dict(reading.changes)
    remote = base.offload.remote
    if lmcache is not None and storage is None and remote is not None:
        scenario = base.replace(changes, profiles=profiles)
        named = scenario.offload.remote
        if named is not None and named.profile.medium == remote.profile.medium:
            del changes["offload.remote"]
            notes = [note for note in reading.notes if "does not say how fast" not in note]
            reading = Reading(changes, reading.warnings, notes)
    return base.replace(changes, profiles=profiles), reading
