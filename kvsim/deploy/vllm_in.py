"""Read the arguments of `vllm serve` into changes of a scenario."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

from kvsim.deploy.model_names import profile_name
from kvsim.deploy.reading import Reading
from kvsim.errors import ConfigError
from kvsim.spec.engine import EngineSpec
from kvsim.spec.problems import suggest

_TRANSFER = "--kv-transfer-config"
_SHORT = {"-tp": "--tensor-parallel-size", "-pp": "--pipeline-parallel-size"}
_SHORT |= {"-dp": "--data-parallel-size", "-q": "--quantization"}
_NUMBERS = {
    "--tensor-parallel-size": "tensor_parallel_size",
    "--max-num-batched-tokens": "max_num_batched_tokens",
    "--max-num-seqs": "max_num_seqs",
    "--block-size": "block_tokens",
    "--max-model-len": "max_model_len",
    "--num-gpu-blocks-override": "num_gpu_blocks",
}
_PREFIX_CACHING = ("--enable-prefix-caching", "--no-enable-prefix-caching")
_READ = {*_NUMBERS, *_PREFIX_CACHING, "--gpu-memory-utilization", "--model", _TRANSFER}
_READ |= {"--kv-cache-dtype", "--quantization", "--scheduling-policy"}
_ONLY = {"--pipeline-parallel-size": "1", "--data-parallel-size": "1"}
"""Flags that are modelled at one value only."""
_NOT_MODELLED = {
    "--speculative-config": "speculative decoding",
    "--enforce-eager": "steps without CUDA graphs",
    "--no-async-scheduling": "one step at a time",
    "--no-enable-chunked-prefill": "whole prompts in one step",
    "--enable-lora": "LoRA",
    "--performance-mode": "other limits of a step: give --max-num-batched-tokens",
    "--long-prefill-token-threshold": "a limit on long prefills",
    "--cpu-offload-gb": "weights in host memory",
    "--swap-space": "swapping",
    "--enable-expert-parallel": "expert parallelism",
    "--decode-context-parallel-size": "context parallelism",
    "--stream-interval": "tokens sent in groups",
}
_WITHOUT_EFFECT = {
    *(
        "--host",
        "--port",
        "--served-model-name",
        "--api-key",
        "--tokenizer",
        "--seed",
        "--revision",
    ),
    *("--load-format", "--trust-remote-code", "--download-dir", "--chat-template", "--dtype"),
    *(
        "--uvicorn-log-level",
        "--disable-log-requests",
        "--no-enable-log-requests",
        "--config-format",
    ),
    *("--enable-logging-iteration-details", "--async-scheduling", "--enable-chunked-prefill"),
    *(
        "--tool-call-parser",
        "--reasoning-parser",
        "--enable-auto-tool-choice",
        "--otlp-traces-endpoint",
    ),
    *("--disable-log-stats", "--kv-events-config", "--tokenizer-mode", "--allowed-origins"),
    *("--prefix-caching-hash-algo", "--distributed-executor-backend", "--generation-config"),
}
_KNOWN = (*_READ, *_ONLY, *_NOT_MODELLED, *_WITHOUT_EFFECT, "--kv-offloading-backend")
_COUNT = re.compile(r"(\d+(?:\.\d+)?)([kKmMgG]?)")
_SCALE = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}


def scenario_changes_from_vllm_args(text: str, *, profiles: Path | None = None) -> Reading:
    """Read a `vllm serve` command, or only its flags, into the changes of a scenario.

    Flags left out have vLLM's defaults, so the changes name every setting of the engine. Without a
    model the scenario keeps its own.
    """
    model, flags = _split(text)
    reading = Reading({})
    _judge(flags, reading)
    model = flags.get("--model") or model
    changes = reading.changes
    if model is not None:
        changes["model"] = profile_name(model, profiles=profiles)
    dtype = flags.get("--kv-cache-dtype") or "auto"
    if dtype.startswith("fp8"):
        changes["model.kv_bytes_per_element"] = 1
    elif dtype not in ("auto", "bfloat16", "float16"):
        reading.notes.append(
            f"--kv-cache-dtype {dtype} is not read; set model.kv_bytes_per_element"
        )
    weights = flags.get("--quantization")
    if weights == "fp8":
        changes["model.weight_bytes_per_param"] = 1
    elif weights is not None:
        reading.notes.append(
            f"--quantization {weights} is not read; set model.weight_bytes_per_param"
        )
    for flag, name in _NUMBERS.items():
        usual = EngineSpec.model_fields[name].default
        changes[f"engine.{name}"] = _count(flag, flags[flag]) if flag in flags else usual
    changes["engine.scheduling_policy"] = flags.get("--scheduling-policy") or "fcfs"
    changes["engine.gpu_memory_utilization"] = _fraction(flags)
    changes["engine.enable_prefix_caching"] = _PREFIX_CACHING[1] not in flags
    changes["offload.connector"] = _connector(flags, reading)
    if changes["offload.connector"] == "none":
        changes["offload.remote"] = None
    return reading


def _split(text: str) -> tuple[str | None, dict[str, str | None]]:
    """Return the model, where it is an argument by its place, and each flag's value."""
    try:
        words = shlex.split(_quote_json(text.replace("\\\n", " ")), comments=True)
    except ValueError as error:
        raise ConfigError(f"--vllm-args: not readable as a shell reads it: {error}") from None
    while words and re.match(r"[A-Za-z_]\w*=", words[0]):
        words.pop(0)
    words = _without_program(words)
    model: str | None = None
    flags: dict[str, str | None] = {}
    place = 0
    while place < len(words):
        word = words[place]
        place += 1
        if not word.startswith("-"):
            if model is not None:
                raise ConfigError(f"--vllm-args: {word!r} stands alone; a flag begins with --")
            model = word
            continue
        flag, equals, value = word.partition("=")
        flag = _SHORT.get(flag, flag.replace("_", "-") if flag.startswith("--") else flag)
        if equals:
            flags[flag] = value
        elif place < len(words) and not words[place].startswith("-"):
            flags[flag] = words[place]
            place += 1
        else:
            flags[flag] = None
    return model, _joined(flags)


def _quote_json(text: str) -> str:
    """Quote JSON that a shell would have been given in quotes, as logs show it without."""
    for match in reversed(list(re.finditer(r"(?<=[\s=])(?=\{)", text))):
        try:
            _, end = json.JSONDecoder().raw_decode(text, match.start())
        except ValueError:
            continue
        value = text[match.start() : end]
        text = text[: match.start()] + shlex.quote(value) + text[end:]
    return text


def _without_program(words: list[str]) -> list[str]:
    """Leave out `vllm serve`, or the module that it runs."""
    for place, word in enumerate(words[:4]):
        if word == "serve" or word.endswith("api_server"):
            return words[place + 1 :]
    return words


def _joined(flags: dict[str, str | None]) -> dict[str, str | None]:
    """Join `--kv-transfer-config.kv_role kv_both` and its like to one JSON value."""
    dotted = {f: v for f, v in flags.items() if f.startswith(f"{_TRANSFER}.")}
    if not dotted:
        return flags
    keys = {f.removeprefix(f"{_TRANSFER}.").replace("-", "_"): v for f, v in dotted.items()}
    return {f: v for f, v in flags.items() if f not in dotted} | {_TRANSFER: json.dumps(keys)}


def _judge(flags: dict[str, str | None], reading: Reading) -> None:
    for flag, value in flags.items():
        if flag in _ONLY and value != _ONLY[flag]:
            raise ConfigError(
                f"--vllm-args: {flag} {value}: only {_ONLY[flag]} is modelled; each data-parallel "
                "rank is an instance of its own (instances: N)"
            )
        if flag == "--kv-offloading-backend":
            raise ConfigError(
                f"--vllm-args: {flag} {value}: vLLM's own offloading and LMCache's multi-process "
                "mode are not modelled; kvsim models LMCacheConnectorV1"
            )
        if flag in _NOT_MODELLED:
            shown = flag if value is None else f"{flag} {value}"
            reading.notes.append(f"{shown} is not modelled ({_NOT_MODELLED[flag]})")
        elif flag not in _KNOWN:
            hint = suggest(flag, _KNOWN)
            known = hint if hint.startswith("did you mean") else "it is left out"
            reading.warnings.append(f"--vllm-args: {flag}: kvsim does not know this flag; {known}")


def _count(flag: str, value: str | None) -> int | None:
    if flag == "--max-model-len" and value in ("auto", "-1"):
        return None
    match = _COUNT.fullmatch(value or "")
    number = float(match[1]) * _SCALE[match[2]] if match else 0.0
    if number < 1 or number != int(number):
        raise ConfigError(f"--vllm-args: {flag} {value}: is not a whole number of at least 1")
    return int(number)


def _fraction(flags: dict[str, str | None]) -> float:
    flag = "--gpu-memory-utilization"
    if flag not in flags:
        return float(EngineSpec.model_fields["gpu_memory_utilization"].default)
    try:
        value = float(flags[flag] or "")
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise ConfigError(f"--vllm-args: {flag} {flags[flag]}: is not a number above 0 and up to 1")
    return value


def _connector(flags: dict[str, str | None], reading: Reading) -> str:
    text = flags.get(_TRANSFER)
    if _TRANSFER not in flags:
        return "none"
    try:
        config: Any = json.loads(text or "")
    except ValueError:
        config = None
    if not isinstance(config, dict) or "kv_connector" not in config:
        raise ConfigError(
            f"--vllm-args: {_TRANSFER} {text}: is not JSON with a kv_connector; write e.g. "
            '\'{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}\''
        )
    connector, role = config["kv_connector"], config.get("kv_role", "kv_both")
    if connector != "LMCacheConnectorV1":
        raise ConfigError(
            f"--vllm-args: {_TRANSFER}: {connector} is not modelled; kvsim models "
            "LMCacheConnectorV1 (LMCache inside the vLLM worker), or leave the flag out"
        )
    if role != "kv_both":
        reading.notes.append(f"kv_role {role} is not modelled: kv_both is taken")
    return "lmcache_inproc"
