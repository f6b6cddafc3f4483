"""Read a model's shape from a Hugging Face config.json."""

import reprlib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kvsim.errors import ConfigError
from kvsim.spec.model import ModelSpec
from kvsim.spec.problems import problem_line
from kvsim.spec.yamlfile import read_mapping

MXFP4_BYTES_PER_PARAM = 4.25 / 8  # 4 bits a value and an 8-bit scale for every 32 values
MODEL_TYPES = ("llama", "mistral", "qwen3", "qwen3_moe", "gpt_oss", "deepseek_v3")

_COMMON = {
    "num_hidden_layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "num_attention_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "vocab_size": "vocab_size",
    "max_position_embeddings": "max_position_embeddings",
}
_EXTRA = {
    "qwen3_moe": {
        "num_experts": "num_experts",
        "num_experts_per_tok": "num_experts_per_tok",
        "moe_intermediate_size": "moe_intermediate_size",
    },
    "gpt_oss": {
        "num_experts": "num_local_experts",
        "num_experts_per_tok": "num_experts_per_tok",
        "moe_intermediate_size": "intermediate_size",
    },
    "deepseek_v3": {
        "num_experts": "n_routed_experts",
        "num_experts_per_tok": "num_experts_per_tok",
        "moe_intermediate_size": "moe_intermediate_size",
        "num_shared_experts": "n_shared_experts",
        "first_k_dense_replace": "first_k_dense_replace",
        "kv_lora_rank": "kv_lora_rank",
        "qk_rope_head_dim": "qk_rope_head_dim",
        "qk_nope_head_dim": "qk_nope_head_dim",
        "v_head_dim": "v_head_dim",
    },
}


def read_hf_config(path: Path) -> ModelSpec:
    """Read a config.json of a llama, mistral, qwen3, qwen3_moe, gpt_oss or deepseek_v3 model."""
    return model_from_config(read_mapping(path), str(path), name=path.resolve().parent.name)


def model_from_config(config: dict[str, Any], path: str, *, name: str) -> ModelSpec:
    """Read the content of a config.json; `path` is for messages, `name` where it has none."""
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        raise ConfigError(
            f"{path}: model_type {reprlib.repr(kind)} is unknown; known: {', '.join(MODEL_TYPES)}; "
            "describe another architecture as a profile (profiles/models)"
        )
    wanted = _COMMON | _EXTRA.get(kind, {})
    missing = [key for key in wanted.values() if config.get(key) is None]
    if missing:
        raise ConfigError(f"{path}: key {missing[0]!r} is missing; a {kind} model needs it")
    data: dict[str, Any] = {ours: config[theirs] for ours, theirs in wanted.items()}
    heads = data["num_attention_heads"]
    data["num_key_value_heads"] = config.get("num_key_value_heads") or heads
    data["head_dim"] = config.get("head_dim") or _head_dim(data, kind, path)
    data["q_lora_rank"] = config.get("q_lora_rank") or 0
    data["tie_word_embeddings"] = bool(config.get("tie_word_embeddings", False))
    data |= _sliding(config, kind, path) | _weight_bytes(config, path)
    data["name"] = str(config.get("_name_or_path") or name or "model")
    data["sources"] = {"*": {"kind": "published", "how": "the model's own config.json"}}
    try:
        return ModelSpec.model_validate(data)
    except ValidationError as error:
        raise ConfigError(problem_line(error, ModelSpec, path)) from None


def _head_dim(data: dict[str, Any], kind: str, path: str) -> int:
    if kind == "deepseek_v3":
        return sum(_whole(data, key, path) for key in ("qk_nope_head_dim", "qk_rope_head_dim"))
    hidden, heads = data["hidden_size"], data["num_attention_heads"]
    if not (isinstance(hidden, int) and isinstance(heads, int) and heads > 0) or hidden % heads:
        raise ConfigError(
            f"{path}: key 'head_dim' is missing and hidden_size {hidden!r} is not a multiple of "
            f"num_attention_heads {heads!r}"
        )
    return hidden // heads


def _whole(config: dict[str, Any], key: str, path: str) -> int:
    """Return a number that is reckoned with before the model is validated."""
    value = config[key]
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{path}: {key}: {reprlib.repr(value)} is not a whole number")
    return value


def _sliding(config: dict[str, Any], kind: str, path: str) -> dict[str, int]:
    """Count the layers with a sliding window; Qwen names a window that it does not use."""
    window = config.get("sliding_window")
    if not window or config.get("use_sliding_window") is False:
        return {}
    layer_types = config.get("layer_types")
    if isinstance(layer_types, list):
        layers = layer_types.count("sliding_attention")
    elif kind == "gpt_oss":
        layers = (_whole(config, "num_hidden_layers", path) + 1) // 2
    else:
        layers = config["num_hidden_layers"]
    return {"sliding_window": window, "num_sliding_layers": layers} if layers else {}


def _weight_bytes(config: dict[str, Any], path: str) -> dict[str, float]:
    quantization = config.get("quantization_config")
    if not quantization:
        full = "float32" in (config.get("torch_dtype"), config.get("dtype"))
        return {"weight_bytes_per_param": 4.0 if full else 2.0}
    method = quantization.get("quant_method") if isinstance(quantization, dict) else None
    match method:
        case "mxfp4":
            return {"expert_bytes_per_param": MXFP4_BYTES_PER_PARAM}
        case "fp8":
            return {"weight_bytes_per_param": 1.0}
        case _:
            raise ConfigError(
                f"{path}: quantization_config: quant_method {reprlib.repr(method)} is unknown; "
                "known: mxfp4, fp8; else write a profile with weight_bytes_per_param"
            )
