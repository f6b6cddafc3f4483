"""Write the `vllm serve` command of a scenario."""

from __future__ import annotations

import json
import shlex

from kvsim.deploy.lmcache_out import lmcache_config
from kvsim.deploy.model_names import hub_name
from kvsim.errors import ConfigError
from kvsim.spec.offload import BY_HAND
from kvsim.spec.scenario import Scenario

LMCACHE_FILE = "lmcache.yaml"
COMMAND_FILE = "serve.sh"
FIRST_PORT = 8000
"""vLLM's default port; instances of one host take the next ones."""
KV_TRANSFER = {"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"}


def vllm_command(scenario: Scenario, instance: int = 0) -> str:
    """Return the shell command that starts one instance, ready to paste.

    Limits that vLLM would choose by card and version are written out as simulated. Instances share
    a store only with equal PYTHONHASHSEED, since LMCache's keys are Python hashes.
    """
    if not 0 <= instance < scenario.instances:
        raise ConfigError(
            f"instance: {instance} does not exist; the scenario has 0 to {scenario.instances - 1}"
        )
    engine, model = scenario.engine, scenario.model
    flags: list[tuple[str, ...]] = [
        ("--port", str(FIRST_PORT + instance)),
        ("--tensor-parallel-size", str(engine.tensor_parallel_size)),
        ("--gpu-memory-utilization", repr(engine.gpu_memory_utilization)),
        ("--max-model-len", str(scenario.max_model_len)),
        ("--max-num-batched-tokens", str(scenario.max_num_batched_tokens)),
        ("--max-num-seqs", str(scenario.max_num_seqs)),
        ("--block-size", str(engine.block_tokens)),
    ]
    if engine.num_gpu_blocks is not None:
        flags.append(("--num-gpu-blocks-override", str(engine.num_gpu_blocks)))
    if engine.scheduling_policy != "fcfs":
        flags.append(("--scheduling-policy", engine.scheduling_policy))
    if not engine.enable_prefix_caching:
        flags.append(("--no-enable-prefix-caching",))
    if model.kv_bytes_per_element == 1:
        flags.append(("--kv-cache-dtype", "fp8"))
    if model.weight_bytes_per_param == 1 and _by_hand(scenario, "weight_bytes_per_param"):
        flags.append(("--quantization", "fp8"))
    environment = []
    if scenario.offload.connector != "none":
        environment = ["PYTHONHASHSEED=0", f"LMCACHE_CONFIG_FILE={LMCACHE_FILE}"]
        transfer = json.dumps(KV_TRANSFER, separators=(",", ":"))
        flags.append(("--kv-transfer-config", transfer))
    words = [*environment, "vllm", "serve", hub_name(model) or model.name]
    return " \\\n  ".join(shlex.join(part) for part in (words, *flags))


def deployment_files(scenario: Scenario) -> dict[str, str]:
    """Return the files of a deployment by name: how an instance is started, LMCache's settings."""
    script = ["#!/bin/sh", f"# Starts one vLLM instance of {scenario.name}."]
    if scenario.instances > 1:
        script.append(
            f"# The others (of {scenario.instances}): the same on GPUs of their own; those on one "
            "host each with a --port of its own."
        )
    files = {COMMAND_FILE: "\n".join([*script, vllm_command(scenario)]) + "\n"}
    if scenario.offload.connector != "none":
        files[LMCACHE_FILE] = lmcache_config(scenario)
    return files


def _by_hand(scenario: Scenario, path: str) -> bool:
    return scenario.model.source_of(path).how == BY_HAND["how"]
