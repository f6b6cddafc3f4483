"""vLLM's command line, written and read."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from kvsim.deploy import (
    deployment_files,
    existing_deployment,
    scenario_changes_from_vllm_args,
    vllm_command,
)
from kvsim.deploy.model_names import hub_name, profile_name
from kvsim.errors import ConfigError
from kvsim.spec import Scenario, list_profiles, load_profile

TRANSFER = '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}'


def test_a_shell_reads_the_command(qa: Scenario) -> None:
    words = shlex.split(vllm_command(qa).replace("\\\n", ""))
    assert words[:5] == [
        "PYTHONHASHSEED=0",
        "LMCACHE_CONFIG_FILE=lmcache.yaml",
        "vllm",
        "serve",
        "Qwen/Qwen3-8B",
    ]
    flags = dict(zip(words[5::2], words[6::2], strict=True))
    assert flags["--num-gpu-blocks-override"] == "4000"
    assert flags["--max-num-batched-tokens"] == "2048"  # what vLLM takes for this card
    assert flags["--max-model-len"] == "20000"
    assert json.loads(flags["--kv-transfer-config"])["kv_connector"] == "LMCacheConnectorV1"


@pytest.mark.parametrize("name", ["x$(id)", "a'; id; '", "`id`", "a b", "*"])
def test_a_shell_runs_no_part_of_a_name(qa: Scenario, name: str) -> None:
    changes = {"name": name, "model.name": name, "offload.remote.profile.name": name}
    address = "https://huggingface.co/--trust-remote-code"
    source = {"kind": "published", "how": name, "address": address}
    evil = qa.replace(changes | {"model.sources": {"*": source}})
    words = shlex.split(vllm_command(evil).replace("\\\n", ""))
    assert words[3:5] == ["serve", name]
    _, second, *rest = deployment_files(evil)["serve.sh"].splitlines()
    assert second == f"# Starts one vLLM instance of {name}."
    assert "\n".join(rest).endswith(f"\n{vllm_command(evil)}")


def test_without_offload_there_is_no_connector(qa: Scenario) -> None:
    alone = qa.replace({"offload.connector": "none", "offload.remote": None})
    assert "kv-transfer" not in vllm_command(alone)
    assert vllm_command(alone).startswith("vllm serve")
    assert list(deployment_files(alone)) == ["serve.sh"]
    assert sorted(deployment_files(qa)) == ["lmcache.yaml", "serve.sh"]


def test_instances_take_ports_of_their_own(qa: Scenario) -> None:
    assert "--port 8001" in vllm_command(qa, instance=1)
    with pytest.raises(ConfigError, match="instance: 2 does not exist"):
        vllm_command(qa, instance=2)


def test_settings_by_hand_become_flags(qa: Scenario) -> None:
    changed = qa.replace(
        {
            "engine.enable_prefix_caching": False,
            "model.kv_bytes_per_element": 1,
            "model.weight_bytes_per_param": 1,
        }
    )
    command = vllm_command(changed)
    for words in ("--no-enable-prefix-caching", "--kv-cache-dtype fp8", "--quantization fp8"):
        assert words in command
    changes = scenario_changes_from_vllm_args(command).changes
    assert changes["engine.enable_prefix_caching"] is False
    assert changes["model.kv_bytes_per_element"] == 1
    assert changes["model.weight_bytes_per_param"] == 1


@pytest.mark.parametrize(
    "text",
    [
        f"vllm serve Qwen/Qwen3-8B --kv-transfer-config '{TRANSFER}' --max-num-seqs 32",
        f"A=1 vllm serve Qwen/Qwen3-8B --kv-transfer-config={TRANSFER} --max_num_seqs=32",
        f"python -m vllm.entrypoints.openai.api_server --model Qwen/Qwen3-8B \\\n"
        f"  --kv-transfer-config {TRANSFER} --max-num-seqs 32",
        "--model Qwen/Qwen3-8B --kv-transfer-config.kv_connector LMCacheConnectorV1 "
        "--max-num-seqs 32",
    ],
)
def test_ways_to_write_the_same(text: str) -> None:
    reading = scenario_changes_from_vllm_args(text)
    assert reading.changes["model"] == "qwen3-8b"
    assert reading.changes["offload.connector"] == "lmcache_inproc"
    assert reading.changes["engine.max_num_seqs"] == 32
    assert reading.changes["engine.gpu_memory_utilization"] == 0.92  # vLLM's default
    assert not reading.warnings + reading.notes


def test_lengths_as_people_write_them() -> None:
    for text, tokens in (("32k", 32_000), ("32K", 32_768), ("40960", 40_960), ("auto", None)):
        changes = scenario_changes_from_vllm_args(f"--max-model-len {text}").changes
        assert changes["engine.max_model_len"] == tokens


def test_unknown_and_unmodelled_flags_are_named() -> None:
    reading = scenario_changes_from_vllm_args(
        "--max-num-seq 3 --enforce-eager --port 80 --speculative-config x --trust-remote-code"
    )
    assert len(reading.warnings) == 1
    assert "--max-num-seq: kvsim does not know this flag; did you mean" in reading.warnings[0]
    assert [note.split(" ")[0] for note in reading.notes] == [
        "--enforce-eager",
        "--speculative-config",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("--max-num-seqs 0", "--max-num-seqs 0: is not a whole number"),
        ("--max-num-seqs", "--max-num-seqs None"),
        ("--gpu-memory-utilization 1.2", "is not a number above 0"),
        ("-pp 2", "--pipeline-parallel-size 2: only 1 is modelled"),
        ("--kv-offloading-backend native", "not modelled"),
        ('--kv-transfer-config \'{"kv_connector":"OffloadingConnector"}\'', "OffloadingConnector"),
        ("--kv-transfer-config nonsense", "is not JSON with a kv_connector"),
        ("--model Qwen/Qwen9-8B", "did you mean 'qwen3-8b'"),
        ("serve a b", "'b' stands alone"),
        ("--model 'a", "No closing quotation"),
    ],
)
def test_bad_arguments_are_one_clear_error(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        scenario_changes_from_vllm_args(text)
    assert "\n" not in str(caught.value)


def test_every_model_is_found_by_its_name_on_the_hub() -> None:
    for name in list_profiles("models"):
        hub = hub_name(load_profile("models", name))
        assert hub is not None
        assert profile_name(hub) == name
        assert profile_name(hub.lower()) == name
        assert profile_name(name) == name
    assert profile_name("meta-llama/Meta-Llama-3.1-8B-Instruct") == "llama-3.1-8b"
    assert profile_name("RedHatAI/Qwen3-32B-FP8") == "qwen3-32b"


def test_a_folder_with_a_config_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert profile_name(str(tmp_path)) == str(tmp_path / "config.json")


def test_lmcache_without_its_connector_is_an_error(qa: Scenario) -> None:
    with pytest.raises(ConfigError, match="vLLM never asks LMCache"):
        existing_deployment(qa, lmcache="chunk_size: 256\n", vllm_args="--max-num-seqs 3")
