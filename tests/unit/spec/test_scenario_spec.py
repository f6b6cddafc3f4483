"""Scenarios: loading, replacing, round trips and cross checks."""

import json
from pathlib import Path
from typing import Any

import pytest

from kvsim.errors import ConfigError
from kvsim.spec import Scenario, load_profile, load_scenario, parse_assignment

Plain = dict[str, Any]


def test_names_become_profiles(plain: Plain) -> None:
    scenario = Scenario.from_dict(plain)
    assert scenario.model == load_profile("models", "qwen3-8b")
    assert scenario.offload.cpu.capacity == 100 * 2**30
    assert scenario.workload.time == 1200.0
    assert scenario.slo is not None
    assert scenario.slo.tpot == 0.05
    assert scenario.max_model_len == 40960
    assert (scenario.max_num_batched_tokens, scenario.max_num_seqs) == (8192, 1024)
    assert scenario.chunk_bytes == 36 * 2**20


def test_vllm_keeps_requests_below_tokens(plain: Plain) -> None:
    plain["engine"] = {"max_num_batched_tokens": 512}
    assert Scenario.from_dict(plain).max_num_seqs == 512


def test_client_settings_override_the_profile_and_say_so(plain: Plain) -> None:
    remote = Scenario.from_dict(plain).offload.remote
    assert remote is not None
    assert remote.profile.medium == "object"
    assert remote.profile.client.uploads == 3
    assert remote.profile.client.connections == 25
    assert remote.profile.source_of("client.uploads").how == "set in the scenario"
    plain["offload"]["remote"] = "nfs-tcp"
    assert Scenario.from_dict(plain).offload.remote is not None


def test_it_is_frozen_and_round_trips(plain: Plain) -> None:
    scenario = Scenario.from_dict(plain)
    again = Scenario.from_dict(json.loads(json.dumps(scenario.to_dict())))
    assert again == scenario
    assert again.hash() == scenario.hash()
    with pytest.raises(ValueError, match="frozen"):
        scenario.seed = 3  # type: ignore[misc]


def test_replace_changes_what_is_named_and_nothing_else(plain: Plain) -> None:
    base = Scenario.from_dict(plain)
    changed = base.replace({"offload.cpu.capacity": "200GiB", "workload.qps": 3})
    assert changed.offload.cpu.capacity == 200 * 2**30
    assert changed.workload.qps == 3
    assert changed.hash() != base.hash()
    back = changed.replace({"offload.cpu.capacity": "100GiB", "workload.qps": 2})
    assert back == base
    assert base.replace({}) == base


def test_replace_takes_names_blocks_none_and_specs(plain: Plain) -> None:
    base = Scenario.from_dict(plain)
    assert base.replace({"gpu": "a100-40gb"}).gpu.name == "a100-40gb"
    assert base.replace({"gpu": load_profile("gpus", "l40")}).gpu.name == "l40"
    assert base.replace({"offload.remote": None}).offload.remote is None
    new = {"profile": "s3-stub", "client": {"uploads": 7}}
    remote = base.replace({"offload.remote": new}).offload.remote
    assert remote is not None
    assert remote.profile.name == "s3-stub"
    assert remote.profile.client.uploads == 7  # type: ignore[union-attr]
    other = base.replace({"offload.remote.profile": "ontap-pnfs-rdma"}).offload.remote
    assert other is not None
    assert other.profile.medium == "file"
    again = base.replace({"offload.remote.client.uploads": 9}).offload.remote
    assert again is not None
    assert again.profile.client.uploads == 9  # type: ignore[union-attr]


def test_replace_sets_blocks_before_their_keys(plain: Plain) -> None:
    base = Scenario.from_dict(plain).replace({"offload.remote": None})
    changes = {"offload.remote.client.uploads": 2, "offload.remote": {"profile": "s3-stub"}}
    remote = base.replace(changes).offload.remote
    assert remote is not None
    assert remote.profile.client.uploads == 2  # type: ignore[union-attr]


def test_a_number_set_by_hand_is_no_longer_fitted(plain: Plain) -> None:
    base = Scenario.from_dict(plain)
    assert base.gpu.source_of("efficiency.memory").kind == "fitted"
    gpu = base.replace({"gpu.efficiency.memory": 0.5}).gpu
    assert gpu.source_of("efficiency.memory").kind == "assumed"
    assert gpu.source_of("efficiency.attention").kind == "fitted"
    gpu = base.replace({"gpu.efficiency": gpu.efficiency.model_dump()}).gpu
    assert gpu.source_of("efficiency.linear_diverse").kind == "assumed"


def test_files_with_changes_and_relative_paths(plain: Plain, tmp_path: Path) -> None:
    profile = load_profile("gpus", "l40").model_dump(mode="json")
    (tmp_path / "card.yaml").write_text(json.dumps(profile | {"num_sms": 9}))
    del plain["workload"]["qps"]
    (tmp_path / "scenario.yaml").write_text(json.dumps(plain | {"gpu": "./card.yaml"}))
    loaded = load_scenario(tmp_path / "scenario.yaml", changes={"workload.qps": "4"})
    assert loaded.gpu.num_sms == 9
    assert loaded.workload.qps == 4
    changes = {"workload.qps": 4, "gpu.num_sms": 11, "offload.remote.profile.head": "1ms"}
    loaded = load_scenario(tmp_path / "scenario.yaml", changes=changes)
    assert loaded.gpu.num_sms == 11
    with pytest.raises(ConfigError, match=r"workload\.qps: missing key .*scenario\.yaml"):
        load_scenario(tmp_path / "scenario.yaml")


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("workload.qps=3", "workload.qps", 3),
        ("workload.qps=2.5", "workload.qps", 2.5),
        ("offload.cpu.capacity=200GiB", "offload.cpu.capacity", "200GiB"),
        ("offload.remote=null", "offload.remote", None),
        ("engine.async_scheduling = false", "engine.async_scheduling", False),
        ("offload.remote={profile: s3-stub}", "offload.remote", {"profile": "s3-stub"}),
        ("name=a=b", "name", "a=b"),
    ],
)
def test_assignments(text: str, path: str, value: object) -> None:
    assert parse_assignment(text) == (path, value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workload.user_history_prompt": 99_999_999}, "more than max_model_len 40960"),
        ({"workload.user_history_prompt": 37_600}, "prompt of round 20"),
        ({"engine.max_model_len": 50_000}, "exceeds the 40960 tokens that qwen3-8b handles"),
        ({"engine.tensor_parallel_size": 3}, "does not divide the 32 attention heads"),
        ({"offload.chunk_tokens": 250}, "not a multiple of engine.block_tokens 16"),
        ({"model": "llama-3.1-70b"}, "llama-3.1-70b does not fit h100-sxm-80gb: 131.4GiB"),
        ({"model": "llama-3.1-70b", "engine.num_gpu_blocks": 9000}, "does not fit"),
        ({"engine.num_gpu_blocks": 100}, "does not fit the 1584 tokens of KV cache"),
        ({"engine.num_gpu_blocks": 10**6}, "leave num_gpu_blocks out"),
        ({"engine.max_num_seqs": 9000}, "exceeds max_num_batched_tokens 8192"),
        (
            {"engine.max_model_len": 30_000, "workload.warmup_prompt": 30_000},
            "workload.warmup_prompt",
        ),
    ],
)
def test_parts_that_do_not_fit(changes: Plain, message: str, plain: Plain) -> None:
    with pytest.raises(ConfigError) as caught:
        Scenario.from_dict(plain).replace(changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_large_model_fits_enough_cards(plain: Plain) -> None:
    changes = {"model": "llama-3.1-70b", "engine.tensor_parallel_size": 4}
    scenario = Scenario.from_dict(plain).replace(changes)
    assert scenario.num_gpu_blocks * 16 > scenario.max_model_len
    assert scenario.chunk_bytes == 20 * 2**20
