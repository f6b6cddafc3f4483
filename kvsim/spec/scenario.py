"""One complete description of what to simulate."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from kvsim.errors import ConfigError
from kvsim.spec.base import Count, Name, PositiveCount, Seconds, Spec
from kvsim.spec.calibrated import apply_calibration
from kvsim.spec.calibration import CalibrationSpec
from kvsim.spec.changes import apply_changes
from kvsim.spec.engine import EngineSpec
from kvsim.spec.gpu import GpuSpec
from kvsim.spec.host import HostSpec
from kvsim.spec.memory import block_bytes, kv_pool_blocks, kv_pool_bytes, step_limits
from kvsim.spec.model import ModelSpec
from kvsim.spec.offload import OffloadSpec
from kvsim.spec.problems import problem_line
from kvsim.spec.profiles import Roots, resolve
from kvsim.spec.routing import RouterName, RoutingSpec
from kvsim.spec.slo import SloSpec
from kvsim.spec.synthetic_workload import AgenticSpec, ChatSpec, RagSpec
from kvsim.spec.tenants import TenantSpec, check_tenants
from kvsim.spec.trace_workload import TraceSpec
from kvsim.spec.workload import MultiRoundQaSpec
from kvsim.units import format_bytes

WorkloadSpec = Annotated[
    MultiRoundQaSpec | TraceSpec | AgenticSpec | RagSpec | ChatSpec, Field(discriminator="kind")
]


class Scenario(Spec):
    """What to simulate, complete and frozen: equal scenarios give equal results."""

    name: Name
    """Name of the scenario, for reports."""
    model: ModelSpec
    """The served model: a profile's name, a path, a Hugging Face config.json, or inline."""
    gpu: GpuSpec
    """The GPU: a profile's name, a path, or inline."""
    host: HostSpec
    """The host: a profile's name, a path, or inline."""
    instances: PositiveCount = 1
    """vLLM instances, each with its own GPUs, host share and CPU tier."""
    router: RouterName = "round_robin"
    """How requests are spread over the instances."""
    routing: RoutingSpec = Field(default_factory=RoutingSpec)
    """Settings of the routers that have some."""
    engine: EngineSpec = Field(default_factory=EngineSpec)
    """How vLLM is set up."""
    offload: OffloadSpec = Field(default_factory=OffloadSpec)
    """Which KV tiers there are below the GPU."""
    workload: WorkloadSpec
    """When requests come and how long they are."""
    calibration: CalibrationSpec | None = None
    """Fit to real logs whose numbers replace those of GPU, host and store: a name or a path (what
    `kvsim calibrate` wrote); none: the profiles' own numbers hold."""
    tenants: dict[str, TenantSpec] | None = None
    """Who shares the system, by name; none: nobody is told apart."""
    slo: SloSpec | None = None
    """What the service promises; none: nothing."""
    warmup_cut: Seconds = 0.0
    """Time after the start whose requests are simulated but do not count in the summary (s)."""
    seed: Count = 0
    """Seed of everything random."""

    @model_validator(mode="before")
    @classmethod
    def _calibrated(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(data, Mapping) and isinstance(data.get("calibration"), str | Path):
            roots = info.context if isinstance(info.context, Roots) else Roots()
            return apply_calibration(data, roots)
        return data

    @field_validator("model", mode="before")
    @classmethod
    def _model_by_name(cls, value: Any, info: ValidationInfo) -> Any:
        return resolve("models", value, info.context)

    @field_validator("gpu", mode="before")
    @classmethod
    def _gpu_by_name(cls, value: Any, info: ValidationInfo) -> Any:
        return resolve("gpus", value, info.context)

    @field_validator("host", mode="before")
    @classmethod
    def _host_by_name(cls, value: Any, info: ValidationInfo) -> Any:
        return resolve("hosts", value, info.context)

    @field_validator("workload", mode="before")
    @classmethod
    def _multi_round_qa_by_default(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "kind" not in value:
            return {"kind": "multi_round_qa", **value}
        return value

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        self._check_lengths()
        self._check_steps()
        self._check_parallel()
        self._check_memory()
        if self.tenants is not None:
            check_tenants(self.tenants, self.offload)
        if self.offload.chunk_tokens % self.engine.block_tokens:
            raise ConfigError(
                f"offload.chunk_tokens: {self.offload.chunk_tokens} is not a multiple of "
                f"engine.block_tokens {self.engine.block_tokens}"
            )
        return self

    @property
    def max_model_len(self) -> int:
        """Longest prompt plus answer in tokens."""
        return self.engine.max_model_len or self.model.max_position_embeddings

    @property
    def max_num_batched_tokens(self) -> int:
        """Most tokens in one step."""
        return step_limits(self.gpu, self.engine)[0]

    @property
    def max_num_seqs(self) -> int:
        """Most requests in one step."""
        return step_limits(self.gpu, self.engine)[1]

    @property
    def num_gpu_blocks(self) -> int:
        """KV blocks of one instance, the null block included."""
        return kv_pool_blocks(self.model, self.gpu, self.engine)

    @property
    def chunk_bytes(self) -> int:
        """Bytes of one chunk on one rank."""
        ranks = self.engine.tensor_parallel_size
        return self.model.kv_bytes_per_token_per_rank(ranks) * self.offload.chunk_tokens

    def replace(self, changes: Mapping[str, Any], *, profiles: Path | None = None) -> "Scenario":
        """Return a copy with dotted paths changed, e.g. {"offload.cpu.capacity": "200GiB"}.

        Everything is validated anew. A number of a profile that is changed this way gets the
        source "assumed". A new storage profile brings its own client block.
        """
        roots = Roots(profiles)
        return _validate(apply_changes(self.to_dict(), changes, roots), roots, None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-able data with all profiles inline; `from_dict` reads it back."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        *,
        profiles: Path | None = None,
        base: Path | None = None,
        where: str | None = None,
    ) -> "Scenario":
        """Validate plain data; relative paths are looked up in `base`, then where we run."""
        return _validate(data, Roots(profiles, base), where)

    def hash(self) -> str:
        """Return a short digest that is equal for equal scenarios only."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _check_lengths(self) -> None:
        limit = self.model.max_position_embeddings
        if self.max_model_len > limit:
            raise ConfigError(
                f"engine.max_model_len: {self.max_model_len} exceeds the {limit} tokens that "
                f"{self.model.name} handles (max_position_embeddings)"
            )
        work = self.workload
        if not isinstance(work, MultiRoundQaSpec):
            return  # the driver checks them when it has read or made up the requests
        longest = work.last_prompt_tokens + work.answer_len
        if longest > self.max_model_len:
            raise ConfigError(
                f"workload.user_history_prompt: {work.user_history_prompt} makes the prompt of "
                f"round {work.num_rounds} {work.last_prompt_tokens} tokens, with its answer "
                f"{longest}, more than max_model_len {self.max_model_len}; shorten it or raise "
                "engine.max_model_len"
            )
        warmup = work.warmup_prompt + work.warmup_answer
        if work.warmup_requests and warmup > self.max_model_len:
            raise ConfigError(
                f"workload.warmup_prompt: with its answer {warmup} tokens, more than "
                f"max_model_len {self.max_model_len}"
            )

    def _check_steps(self) -> None:
        tokens, seqs = step_limits(self.gpu, self.engine)
        if tokens < seqs:
            raise ConfigError(
                f"engine.max_num_seqs: {seqs} exceeds max_num_batched_tokens {tokens}, which vLLM "
                "refuses"
            )

    def _check_parallel(self) -> None:
        ranks = self.engine.tensor_parallel_size
        heads, kv_heads = self.model.num_attention_heads, self.model.num_key_value_heads
        if heads % ranks:
            raise ConfigError(
                f"engine.tensor_parallel_size: {ranks} does not divide the {heads} attention heads "
                f"of {self.model.name}"
            )
        if not self.model.is_mla and kv_heads % ranks and ranks % kv_heads:
            raise ConfigError(
                f"engine.tensor_parallel_size: {ranks} and the {kv_heads} KV heads of "
                f"{self.model.name} do not divide each other"
            )

    def _check_memory(self) -> None:
        model, gpu, engine = self.model, self.gpu, self.engine
        weights = model.weights_bytes // engine.tensor_parallel_size
        if kv_pool_bytes(model, gpu, engine) <= 0:
            allowed = format_bytes(gpu.memory * engine.gpu_memory_utilization)
            raise ConfigError(
                f"model: {model.name} does not fit {gpu.name}: {format_bytes(weights)} of weights "
                f"per GPU leave no KV cache in {allowed} ({engine.gpu_memory_utilization:g} of "
                f"{format_bytes(gpu.memory)}); take a larger GPU or engine.tensor_parallel_size"
            )
        blocks = self.num_gpu_blocks
        pool = blocks * block_bytes(model, engine)
        if weights + pool > gpu.memory:
            raise ConfigError(
                f"engine.num_gpu_blocks: {blocks} blocks take {format_bytes(pool)}, with "
                f"{format_bytes(weights)} of weights more than the {format_bytes(gpu.memory)} of "
                f"{gpu.name}; leave num_gpu_blocks out to take what fits"
            )
        held = (blocks - 1) * engine.block_tokens
        if held < self.max_model_len:
            raise ConfigError(
                f"engine.max_model_len: one request of {self.max_model_len} tokens does not fit "
                f"the {max(0, held)} tokens of KV cache that {model.name} has on {gpu.name}; lower "
                "it, or take more memory (gpu, tensor_parallel_size, gpu_memory_utilization, "
                "num_gpu_blocks)"
            )


def _validate(data: Mapping[str, Any], roots: Roots, where: str | None) -> Scenario:
    try:
        return Scenario.model_validate(data, context=roots)
    except ValidationError as error:
        raise ConfigError(problem_line(error, Scenario, where)) from None
