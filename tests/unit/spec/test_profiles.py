"""Profiles that ship with kvsim: complete, sourced, and true to the fits they quote."""

from pathlib import Path

import pytest

from kvsim.errors import ConfigError
from kvsim.spec import (
    PROFILE_KINDS,
    EngineSpec,
    activation_peak_bytes,
    kv_pool_blocks,
    list_profiles,
    load_profile,
    shipped_profiles,
)

EXPECTED = {
    "models": "deepseek-v3 gpt-oss-120b gpt-oss-20b llama-3.1-70b llama-3.1-8b mistral-7b "
    "qwen3-30b-a3b qwen3-32b qwen3-8b",
    "gpus": "a100-40gb a100-80gb b200 h100-sxm-80gb h200 l40 l40s rtx-pro-6000",
    "hosts": "epyc-pcie4 xeon-pcie5",
    "storage": "local-nvme nfs-tcp ontap-pnfs-rdma s3-express s3-standard s3-stub storagegrid-s3 "
    "tmpfs-file",
}
CHUNK = 36 * 2**20


@pytest.mark.parametrize("kind", PROFILE_KINDS)
def test_all_are_there_and_load(kind: str) -> None:
    names = list_profiles(kind)  # type: ignore[arg-type]
    assert set(EXPECTED[kind].split()) <= set(names)
    for name in names:
        profile = load_profile(kind, name)  # type: ignore[call-overload]
        assert profile.name == name
        assert profile.sources


def test_what_is_not_published_says_so() -> None:
    for kind in ("gpus", "hosts", "storage"):
        for name in list_profiles(kind):
            for source in load_profile(kind, name).sources.values():
                assert len(source.how) > 5
                if source.kind in ("measured", "fitted"):
                    assert source.date, (name, source)
                if source.kind == "published":
                    assert source.address or source.date, (name, source)


@pytest.mark.parametrize(
    ("name", "fixed", "per_token", "per_context", "per_pair"),
    [
        ("h100-sxm-80gb", 6.785e-3, 18.75e-6, 47.2e-9, 0.971e-9),
        ("a100-40gb", 13.0e-3, 71.1e-6, 116e-9, 3.37e-9),
    ],
)
def test_efficiencies_give_back_the_step_costs(
    name: str, fixed: float, per_token: float, per_context: float, per_pair: float
) -> None:
    model, gpu = load_profile("models", "qwen3-8b"), load_profile("gpus", name)
    eff = gpu.efficiency
    memory = gpu.hbm_bandwidth * eff.memory
    step = model.weights_read_bytes(1) / memory + model.num_hidden_layers * eff.layer_overhead
    flops = gpu.peak_flops * eff.linear_repetitive
    assert step == pytest.approx(fixed, rel=1e-3)
    assert 2 * model.linear_params_active / flops == pytest.approx(per_token, rel=1e-3)
    assert model.kv_bytes_per_token / memory == pytest.approx(per_context, rel=1e-3)
    pair = model.attention_flops_per_pair / (gpu.peak_flops * eff.attention)
    assert pair == pytest.approx(per_pair, rel=1e-3)


def test_pools_of_real_and_declared_cards() -> None:
    model = load_profile("models", "qwen3-8b")
    engine = EngineSpec(gpu_memory_utilization=0.9)
    measured = kv_pool_blocks(model, load_profile("gpus", "h100-sxm-80gb"), engine)
    # The same server logged 24,795 and, in another run, 24,937 blocks.
    assert measured == pytest.approx(24_795, rel=0.01)
    assert measured == pytest.approx(24_937, rel=0.01)
    assert kv_pool_blocks(model, load_profile("gpus", "a100-40gb"), engine) == 8686


def test_pools_follow_their_causes() -> None:
    model, gpu = load_profile("models", "llama-3.1-8b"), load_profile("gpus", "h100-sxm-80gb")
    base = EngineSpec()
    blocks = kv_pool_blocks(model, gpu, base)
    assert kv_pool_blocks(model, gpu, base.model_copy(update={"num_gpu_blocks": 77})) == 77
    two = base.model_copy(update={"tensor_parallel_size": 2})
    assert kv_pool_blocks(model, gpu, two) > 2 * blocks
    less = base.model_copy(update={"gpu_memory_utilization": 0.5})
    assert kv_pool_blocks(model, gpu, less) < blocks
    big = base.model_copy(update={"max_num_batched_tokens": 65536})
    assert activation_peak_bytes(model, gpu, big) > activation_peak_bytes(model, gpu, base)
    mla = load_profile("models", "deepseek-v3")
    assert kv_pool_blocks(mla, gpu, base) == 0


def test_host_copies_take_what_was_fitted() -> None:
    measured, pcie4 = load_profile("hosts", "xeon-pcie5"), load_profile("hosts", "epyc-pcie4")
    assert CHUNK / measured.load.bandwidth == pytest.approx(0.764e-3, rel=1e-3)
    assert CHUNK / measured.store.bandwidth == pytest.approx(0.870e-3, rel=1e-3)
    assert CHUNK / pcie4.load.bandwidth == pytest.approx(2.03e-3, rel=1e-4)
    assert CHUNK / pcie4.store.bandwidth == pytest.approx(2.57e-3, rel=1e-4)
    for host in (measured, pcie4):
        assert host.load.bandwidth < host.pcie_bandwidth
        assert host.store.bandwidth < host.pcie_bandwidth
    assert measured.request_in.per_token == pytest.approx(1.6e-6)


def test_a_folder_of_the_users_own_goes_first(tmp_path: Path) -> None:
    (tmp_path / "gpus").mkdir()
    text = (shipped_profiles() / "gpus" / "l40.yaml").read_text()
    (tmp_path / "gpus" / "l40.yaml").write_text(text.replace("num_sms: 142", "num_sms: 7"))
    (tmp_path / "gpus" / "mine.yaml").write_text(text.replace("name: l40", "name: mine"))
    assert load_profile("gpus", "l40", profiles=tmp_path).num_sms == 7
    assert load_profile("gpus", "l40").num_sms == 142
    assert "mine" in list_profiles("gpus", profiles=tmp_path)
    assert load_profile("gpus", "h200", profiles=tmp_path).name == "h200"
    assert load_profile("gpus", tmp_path / "gpus" / "mine.yaml").name == "mine"


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no GPU profile 'h20'; did you mean 'h200'"):
        load_profile("gpus", "h20")
    with pytest.raises(ConfigError, match="no storage profile"):
        load_profile("storage", "nope")
    with pytest.raises(ConfigError, match="no such profile folder"):
        list_profiles("gpus", profiles=tmp_path / "absent")
    with pytest.raises(ConfigError, match="no profiles of kind 'gpu'; did you mean 'gpus'"):
        list_profiles("gpu")  # type: ignore[arg-type]
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: x\nmedium: tape\n")
    with pytest.raises(ConfigError, match="medium 'tape' does not exist"):
        load_profile("storage", broken)
