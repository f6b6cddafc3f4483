"""Hugging Face config.json files of every architecture that is read."""

import json
from pathlib import Path
from typing import Any

import pytest

from kvsim.errors import ConfigError
from kvsim.spec import ModelSpec, load_profile

QWEN3_8B: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "max_position_embeddings": 40960,
    "max_window_layers": 36,
    "model_type": "qwen3",
    "num_attention_heads": 32,
    "num_hidden_layers": 36,
    "num_key_value_heads": 8,
    "rope_scaling": None,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_sliding_window": False,
    "vocab_size": 151936,
}
SHAPES: dict[str, dict[str, Any]] = {
    "qwen3-8b": QWEN3_8B,
    "qwen3-30b-a3b": QWEN3_8B
    | {
        "model_type": "qwen3_moe",
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 48,
        "num_key_value_heads": 4,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 768,
    },
    "llama-3.1-8b": {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "max_position_embeddings": 131072,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    "mistral-7b": {
        "model_type": "mistral",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "max_position_embeddings": 32768,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "sliding_window": None,
        "vocab_size": 32768,
    },
    "gpt-oss-20b": {
        "model_type": "gpt_oss",
        "head_dim": 64,
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "layer_types": ["sliding_attention", "full_attention"] * 12,
        "max_position_embeddings": 131072,
        "num_attention_heads": 64,
        "num_experts_per_tok": 4,
        "num_hidden_layers": 24,
        "num_key_value_heads": 8,
        "num_local_experts": 32,
        "quantization_config": {"quant_method": "mxfp4"},
        "sliding_window": 128,
        "vocab_size": 201088,
    },
    "deepseek-v3": {
        "model_type": "deepseek_v3",
        "first_k_dense_replace": 3,
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "kv_lora_rank": 512,
        "max_position_embeddings": 163840,
        "moe_intermediate_size": 2048,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "num_attention_heads": 128,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 61,
        "num_key_value_heads": 128,
        "q_lora_rank": 1536,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "quantization_config": {"quant_method": "fp8"},
        "v_head_dim": 128,
        "vocab_size": 129280,
    },
}


def write(folder: Path, config: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return path


def numbers(model: ModelSpec) -> dict[str, Any]:
    return model.model_dump(exclude={"name", "sources"})


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_file_gives_the_numbers_of_the_profile(name: str, tmp_path: Path) -> None:
    read = load_profile("models", write(tmp_path, SHAPES[name]))
    assert numbers(read) == numbers(load_profile("models", name))
    assert read.source_of("hidden_size").kind == "published"


def test_a_window_on_every_layer(tmp_path: Path) -> None:
    read = load_profile("models", write(tmp_path, SHAPES["mistral-7b"] | {"sliding_window": 4096}))
    assert (read.sliding_window, read.num_sliding_layers) == (4096, 32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mamba"}, "model_type 'mamba' is unknown; known: llama"),
        ({"model_type": None}, "model_type None is unknown"),
        ({"hidden_size": None}, "key 'hidden_size' is missing; a qwen3 model needs it"),
        ({"num_hidden_layers": "many"}, "num_hidden_layers: 'many' is not a whole number"),
        ({"num_hidden_layers": -1}, "-1 is out of range"),
        ({"head_dim": None, "num_attention_heads": 30}, "key 'head_dim' is missing"),
        ({"quantization_config": {"quant_method": "awq"}}, "quant_method 'awq' is unknown"),
        ({"quantization_config": 3}, "quant_method None is unknown"),
        ({"quantization_config": {"quant_method": "x" * 9_999}}, "xxx' is unknown; known: mxfp4"),
        ({"model_type": ["x"] * 9_999}, "'x', ...] is unknown; known: llama"),
        ({"_name_or_path": "a\nb"}, r"name: 'a\nb' is no name"),
        (
            {"model_type": "gpt_oss", "num_local_experts": 2, "num_experts_per_tok": 1}
            | {"sliding_window": 8, "use_sliding_window": None, "num_hidden_layers": "many"},
            "num_hidden_layers: 'many' is not a whole number",
        ),
        (
            SHAPES["deepseek-v3"] | {"qk_rope_head_dim": [64]},
            "qk_rope_head_dim: [64] is not a whole number",
        ),
    ],
)
def test_bad_files(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path, QWEN3_8B | changes)
    with pytest.raises(ConfigError) as caught:
        load_profile("models", path)
    assert message in str(caught.value)
    assert "config.json" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_files_that_are_no_config(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for text in ("", "{", "[1]", "null", "3"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"config\.json"):
            load_profile("models", path)
    with pytest.raises(ConfigError, match="no such file"):
        load_profile("models", tmp_path / "other.json")
