"""From a scenario to the files that deploy it, and back from an existing deployment."""

from kvsim.deploy.existing import Reading, existing_deployment
from kvsim.deploy.lmcache_in import scenario_changes_from_lmcache
from kvsim.deploy.lmcache_out import lmcache_config
from kvsim.deploy.scenario_file import scenario_text
from kvsim.deploy.vllm_in import scenario_changes_from_vllm_args
from kvsim.deploy.vllm_out import deployment_files, vllm_command

__all__ = [
    "Reading",
    "deployment_files",
    "existing_deployment",
    "lmcache_config",
    "scenario_changes_from_lmcache",
    "scenario_changes_from_vllm_args",
    "scenario_text",
    "vllm_command",
]
