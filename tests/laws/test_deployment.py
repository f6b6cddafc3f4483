"""What is written for a deployment gives the same scenario when it is read."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from kvsim.deploy import (
    existing_deployment,
    lmcache_config,
    scenario_changes_from_lmcache,
    scenario_changes_from_vllm_args,
    scenario_text,
    vllm_command,
)
from kvsim.deploy.lmcache_keys import KNOWN, POLICIES
from kvsim.errors import ConfigError
from kvsim.spec import Scenario
from kvsim.spec.yamlfile import parse_value
from tests.strategies import scenarios


def deployable(scenario: Scenario) -> Scenario:
    """Leave out what LMCache does not have, and name the limits that vLLM would choose."""
    changes: dict[str, Any] = {
        "engine.max_num_batched_tokens": scenario.max_num_batched_tokens,
        "engine.max_num_seqs": scenario.max_num_seqs,
        "engine.max_model_len": scenario.max_model_len,
        "offload.cpu.admission": "all",
    }
    if scenario.tenants is not None:
        changes["tenants"] = None
    if scenario.offload.remote is not None:
        changes |= {"offload.remote.capacity": None, "offload.remote.eviction": "lru"}
    if scenario.offload.cpu.eviction not in POLICIES:
        changes["offload.cpu.eviction"] = "lru"
    return scenario.replace(changes)


def unlike(scenario: Scenario) -> Scenario:
    """Change all that a deployment's files hold, but the store."""
    return scenario.replace(
        {
            "engine.gpu_memory_utilization": 0.77,
            "engine.num_gpu_blocks": scenario.num_gpu_blocks + 7,
            "engine.enable_prefix_caching": not scenario.engine.enable_prefix_caching,
            "offload.connector": "lmcache_inproc",
            "offload.chunk_tokens": 512,
            "offload.save_decode_cache": not scenario.offload.save_decode_cache,
            "offload.cpu.capacity": "3GiB",
            "offload.cpu.eviction": "mru",
            "offload.lookup_timeout": 0.5,
            "offload.blocking_timeout": 3,
        }
    )


@given(scenarios())
def test_written_and_read_is_the_same(drawn: Scenario) -> None:
    scenario = deployable(drawn)
    has_tiers = scenario.offload.connector != "none"
    found, reading = existing_deployment(
        unlike(scenario),
        lmcache=lmcache_config(scenario) if has_tiers else None,
        vllm_args=vllm_command(scenario),
    )
    assert not reading.warnings
    assert found.engine == scenario.engine
    assert found.model == scenario.model
    if has_tiers:
        assert found == scenario
        assert lmcache_config(found) == lmcache_config(scenario)
    else:
        assert found.offload.connector == "none"
        assert found.offload.remote is None
    assert vllm_command(found) == vllm_command(scenario)


@given(scenarios())
def test_a_written_scenario_is_the_same(scenario: Scenario) -> None:
    assert Scenario.from_dict(parse_value(scenario_text(scenario), "text")) == scenario


flags = st.sampled_from(
    [
        "--model",
        "--max-num-seqs",
        "--kv-transfer-config",
        "-tp",
        "--gpu_memory_utilization",
        "serve",
    ]
)
words = st.one_of(flags, st.text(max_size=12), st.sampled_from(["{", '{"kv_connector": 3}', "="]))


@given(st.lists(words, max_size=6).map(" ".join))
@example('--kv-transfer-config.kv_role "kv_both"')
@example("--max-model-len 1e400")
@example("--kv-transfer-config [1]")
def test_any_arguments_are_read_or_refused(text: str) -> None:
    with suppress(ConfigError):
        assert "offload.connector" in scenario_changes_from_vllm_args(text).changes


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)


@given(st.dictionaries(st.sampled_from(KNOWN), values, min_size=1, max_size=5))
@example({"remote_url": "s3://[", "chunk_size": 256})
def test_any_values_are_read_or_refused(data: dict[str, Any]) -> None:
    text = "\n".join(f"{key}: {json.dumps(value)}" for key, value in data.items()) + "\n"
    with suppress(ConfigError):
        changes = scenario_changes_from_lmcache(text).changes
        assert changes["offload.connector"] == "lmcache_inproc"
