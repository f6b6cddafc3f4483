"""What follows from a model's shape, against published numbers."""

import pytest

from kvsim.errors import ConfigError
from kvsim.spec import ModelSpec, load_profile


@pytest.mark.parametrize(
    ("name", "kv_bytes", "params", "active"),
    [
        ("qwen3-8b", 147_456, 8.191e9, 6.946e9),
        ("qwen3-32b", 262_144, 32.76e9, 31.21e9),
        ("qwen3-30b-a3b", 98_304, 30.53e9, 2.73e9),
        ("llama-3.1-8b", 131_072, 8.03e9, 6.98e9),
        ("llama-3.1-70b", 327_680, 70.55e9, 68.45e9),
        ("mistral-7b", 131_072, 7.248e9, 6.98e9),
        ("gpt-oss-20b", 49_152, 20.91e9, 3.03e9),
        ("gpt-oss-120b", 73_728, 116.8e9, 4.55e9),
        ("deepseek-v3", 70_272, 671.03e9, 35.7e9),
    ],
)
def test_published_sizes(name: str, kv_bytes: int, params: float, active: float) -> None:
    model = load_profile("models", name)
    assert model.kv_bytes_per_token == kv_bytes
    assert model.num_params == pytest.approx(params, rel=1e-3)
    assert model.linear_params_active == pytest.approx(active, rel=1e-3)


def test_qwen3_8b_reads_and_attends_as_measured_runs_say() -> None:
    model = load_profile("models", "qwen3-8b")
    assert model.lm_head_params == 622_329_856
    assert model.weights_read_bytes(1) == model.weights_read_bytes(8192) == 15_136_194_560
    assert model.attention_flops_per_pair == 4 * 36 * 32 * 128
    assert model.weights_bytes / 2**30 == pytest.approx(15.27, abs=0.02)
    assert not model.is_moe
    assert not model.is_mla
    assert model.kv_read_bytes_per_token == model.kv_bytes_per_token


def test_experts_are_read_as_tokens_touch_them() -> None:
    model = load_profile("models", "qwen3-30b-a3b")
    one = model.weights_read_bytes(1)
    active = 2 * (model.linear_params_active + model.lm_head_params)
    assert one == pytest.approx(active, rel=1e-9)
    reads = [model.weights_read_bytes(n) for n in (1, 2, 8, 64, 10_000)]
    assert reads == sorted(reads)
    everything = 2 * (model.dense_linear_params + model.routed_params + model.lm_head_params)
    assert reads[-1] == pytest.approx(everything)
    assert model.weights_read_bytes(10**6) <= model.weights_bytes


def test_mxfp4_experts_are_smaller_than_the_rest() -> None:
    model = load_profile("models", "gpt-oss-20b")
    assert model.weights_bytes == pytest.approx(13.75e9, rel=2e-3)
    assert model.num_full_attention_layers == 12
    assert model.kv_read_bytes_per_token == model.kv_bytes_per_token // 2
    assert model.sliding_attention_flops_per_token == 4 * 12 * 64 * 64 * 128


def test_latent_attention_is_on_every_rank() -> None:
    model = load_profile("models", "deepseek-v3")
    assert model.is_mla
    assert model.kv_bytes_per_token_per_rank(8) == model.kv_bytes_per_token
    assert model.attention_flops_per_pair == 2 * 61 * 128 * (128 + 64 + 128)


def test_heads_are_divided_but_never_cut() -> None:
    model = load_profile("models", "qwen3-30b-a3b")
    sizes = [model.kv_bytes_per_token_per_rank(ranks) for ranks in (1, 2, 4, 8)]
    assert sizes == [98_304, 49_152, 24_576, 24_576]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"num_key_value_heads": 5}, "multiple"),
        ({"num_experts": 8}, "moe_intermediate_size"),
        ({"kv_lora_rank": 512}, "qk_rope_head_dim"),
        ({"sliding_window": 128}, "go together"),
        ({"first_k_dense_replace": 99}, "exceeds"),
    ],
)
def test_impossible_shapes(changes: dict[str, int], rule: str) -> None:
    data = load_profile("models", "qwen3-8b").model_dump() | changes
    with pytest.raises(ValueError, match=rule):
        ModelSpec.model_validate(data)


def test_a_number_without_a_source_is_refused() -> None:
    data = load_profile("models", "qwen3-8b").model_dump()
    source = {"kind": "assumed", "how": "a guess"}
    with pytest.raises(ValueError, match="no source for 'num_hidden_layers'"):
        ModelSpec.model_validate(data | {"sources": {}})
    with pytest.raises(ValueError, match="'layers' is no field"):
        ModelSpec.model_validate(data | {"sources": {"*": source, "layers": source}})
    with pytest.raises(ValueError, match="datasheet"):
        ModelSpec.model_validate(data | {"sources": {"*": {"kind": "rumour", "how": "heard"}}})
    assert issubclass(ConfigError, ValueError)
