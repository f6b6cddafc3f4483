"""LMCache's YAML, written and read."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from kvsim.deploy import existing_deployment, lmcache_config, scenario_changes_from_lmcache
from kvsim.deploy.lmcache_keys import EXTRA_WITHOUT_EFFECT, KNOWN, KNOWN_EXTRA
from kvsim.errors import ConfigError
from kvsim.spec import Scenario, load_scenario

VALIDATION = Path(__file__).parents[3] / "experiments" / "validation"
RUNS = sorted(path.parent for path in (VALIDATION / "runs").glob("*/lmcache.yaml"))
BED = " --max-model-len 40960 --gpu-memory-utilization 0.9"
"""Flags of all measured runs, which their vllm_args.txt leaves out."""


def written(scenario: Scenario) -> dict[str, object]:
    data = YAML(typ="safe", pure=True).load(lmcache_config(scenario))
    assert isinstance(data, dict)
    return data


def test_settings_of_an_object_store(qa: Scenario) -> None:
    data = written(qa)
    assert data["chunk_size"] == 256
    assert data["max_local_cpu_size"] == 20  # GiB, as offload.cpu.capacity
    assert data["cache_policy"] == "LRU"
    assert data["save_decode_cache"] is True
    assert data["lookup_timeout_ms"] == 3000
    assert str(data["remote_url"]).startswith("s3://")
    assert "fill in: bucket" in lmcache_config(qa)


def test_settings_of_files_say_whether_the_page_cache_serves(qa: Scenario) -> None:
    direct = written(qa.replace({"offload.remote": {"profile": "ontap-pnfs-rdma"}}))
    assert str(direct["remote_url"]).startswith("fs://")
    assert direct["extra_config"] == {"save_chunk_meta": False, "fs_connector_use_odirect": True}
    cached = qa.replace(
        {
            "offload.remote": {"profile": "ontap-pnfs-rdma"},
            "offload.remote.profile.page_cache": "64GiB",
            "offload.remote.profile.page_cache_bandwidth": "10GB/s",
        }
    )
    assert written(cached)["extra_config"]["fs_connector_use_odirect"] is False  # type: ignore[index]


def test_only_keys_that_lmcache_has(qa: Scenario) -> None:
    for store in ("storagegrid-s3", "ontap-pnfs-rdma"):
        data = written(qa.replace({"offload.remote": {"profile": store}}))
        assert set(data) <= set(KNOWN)
        assert set(data["extra_config"]) <= set(KNOWN_EXTRA)  # type: ignore[call-overload]


def test_memory_is_counted_per_rank(qa: Scenario) -> None:
    two = qa.replace({"engine.tensor_parallel_size": 2, "engine.num_gpu_blocks": None})
    text = lmcache_config(two)
    assert "max_local_cpu_size: 20.0" in text
    assert "4 ranks in all: 80GiB" in text


def test_what_ifs_of_the_s3_client_are_named(qa: Scenario) -> None:
    text = lmcache_config(qa.replace({"offload.remote.profile.client.uploads": 16}))
    assert "uploads (16) is a what-if: LMCache's client takes 4" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"offload.connector": "none", "offload.remote": None}, "offload.connector"),
        ({"offload.cpu.eviction": "arc"}, "offload.cpu.eviction: arc is a what-if"),
        ({"offload.cpu.admission": "second_hit"}, "offload.cpu.admission"),
    ],
)
def test_what_lmcache_cannot_do_is_an_error(
    qa: Scenario, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        lmcache_config(qa.replace(changes))


@pytest.mark.parametrize("run", RUNS, ids=lambda path: path.name)
def test_the_measured_runs_give_their_scenarios(run: Path) -> None:
    scenario = load_scenario(VALIDATION / f"{run.name}.yaml")
    other = scenario.replace(
        {
            "offload.cpu.capacity": "1GiB",
            "offload.chunk_tokens": 64,
            "offload.save_decode_cache": False,
            "engine.num_gpu_blocks": 5_000,
            "engine.gpu_memory_utilization": 0.7,
        }
    )
    arguments = (run / "vllm_args.txt").read_text(encoding="utf-8") + BED
    found, reading = existing_deployment(other, lmcache=run / "lmcache.yaml", vllm_args=arguments)
    assert found == scenario
    assert not reading.warnings
    assert not reading.notes


def test_a_store_needs_a_profile_and_the_address_gives_a_hint() -> None:
    def profile(text: str, **given: str) -> object:
        return scenario_changes_from_lmcache(text, **given).changes["offload.remote"]

    assert profile('remote_url: "fs://host:0/mnt/kv"') == {"profile": "ontap-pnfs-rdma"}
    assert profile('remote_url: "fs://host:0/dev/shm/kv"') == {"profile": "tmpfs-file"}
    assert profile('remote_url: "s3://b.grid.local"') == {"profile": "storagegrid-s3"}
    assert profile("remote_url: s3://b.s3.eu-west-1.amazonaws.com") == {"profile": "s3-standard"}
    assert profile("remote_url: s3://b.x", storage="s3-stub") == {"profile": "s3-stub"}
    plugin = 'remote_storage_plugins: ["fs"]\nextra_config:\n  '
    path = "remote_storage_plugin.fs.base_path: /dev/shm/kv"
    assert profile(plugin + path) == {"profile": "tmpfs-file"}
    assert profile("local_cpu: True") is None
    assumed = scenario_changes_from_lmcache("remote_url: fs://host:0/mnt/kv")
    assert "name its profile with --storage" in assumed.notes[0]


def test_unknown_and_unmodelled_keys_are_named() -> None:
    text = (
        "chunk_sise: 128\nenable_async_loading: True\nlocal_disk: file:///x\nuse_layerwise: false"
    )
    reading = scenario_changes_from_lmcache(text)
    assert len(reading.warnings) == 1
    assert "chunk_sise: unknown key; did you mean 'chunk_size'?" in reading.warnings[0]
    assert [note.partition(":")[0] for note in reading.notes] == [
        "local_disk",
        "enable_async_loading",
    ]
    assert reading.changes["offload.chunk_tokens"] == 256
    extra = scenario_changes_from_lmcache("extra_config: {s3_num_io_thread: 3}")
    assert "did you mean 's3_num_io_threads'" in extra.warnings[0]
    assert "s3_num_io_threads" in EXTRA_WITHOUT_EFFECT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chunk_size: many", "chunk_size: 'many' is not a number"),
        ("chunk_size: 1.5", "chunk_size: 1.5 is not a whole number"),
        ("local_cpu: perhaps", "local_cpu: 'perhaps' is not true or false"),
        ("cache_policy: ARC", "cache_policy: 'ARC' is not modelled"),
        ("remote_url: redis://host:1", "redis"),
        ("- a\n- b", "no mapping"),
        ("a: [", "not readable as YAML"),
        ("x: !!python/object/apply:os.system ['true']", "not readable as YAML"),
        ("extra_config: 3", "extra_config: is not a mapping"),
        ("nowhere.yaml", "no such file"),
    ],
)
def test_bad_settings_are_one_clear_error(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        scenario_changes_from_lmcache(text)
    assert "\n" not in str(caught.value)


def test_what_lmcache_does_not_have_is_said(qa: Scenario) -> None:
    limited = qa.replace({"offload.remote.capacity": "1TiB", "tenants": {"gold": {}, "free": {}}})
    text = lmcache_config(limited)
    assert "# Not here: shares of a tier for tenants" in text
    assert "# Not here: the store's limit" in text
    assert "# Not here" not in lmcache_config(qa)
