"""What a run costs: USD an hour by component, and a million tokens by kind.

The components add up to the total, and so do the tokens: every dollar is put on one of

- computed input: GPU time of prefills, and of the copies that store their KV,
- cached input: GPU time that stands still for loads, host memory, storage, requests and traffic,
- output: GPU time of decodes (in a mixed step what the decodes alone would take).

GPU time is what an engine's steps span; idle time is spread in proportion, so prices hold for the
load of the run. Storage is priced for what the store holds at the end of the run: LMCache never
deletes, so name a retention for a steady state (`stored_bytes`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kvsim.compute.step_time import StepTime
from kvsim.spec.storage import ObjectStorageSpec

if TYPE_CHECKING:
    import pandas as pd

    from kvsim.metrics.result import RunResult
    from kvsim.spec.cost import Prices
    from kvsim.spec.scenario import Scenario

Floats = NDArray[np.float64]

HOURS_PER_MONTH = 730.5
GB = 1e9
TB = 1e12


@dataclass(frozen=True)
class GpuTime:
    """What the engines did all the time (s, summed over instances)."""

    prefill_s: float
    store_s: float
    load_s: float
    decode_s: float
    idle_s: float

    @property
    def busy_s(self) -> float:
        """Time in which an engine had a step under way or stood still for a copy."""
        return self.prefill_s + self.store_s + self.load_s + self.decode_s


@dataclass(frozen=True)
class Cost:
    """USD an hour by component, and USD a million tokens by kind (None: no such tokens)."""

    gpu_usd_per_hour: float
    ram_usd_per_hour: float
    storage_usd_per_hour: float
    requests_usd_per_hour: float
    traffic_usd_per_hour: float
    usd_per_million_input_tokens: float | None
    """All prompt tokens, cached or not."""
    usd_per_million_computed_tokens: float | None
    usd_per_million_cached_tokens: float | None
    usd_per_million_output_tokens: float | None
    usd_per_million_tokens: float | None
    """Prompt and output tokens alike."""
    usd_per_1000_requests: float | None
    gpus: int
    gpu_busy_fraction: float

    @property
    def usd_per_hour(self) -> float:
        """Sum of the components."""
        return (
            self.gpu_usd_per_hour
            + self.ram_usd_per_hour
            + self.storage_usd_per_hour
            + self.requests_usd_per_hour
            + self.traffic_usd_per_hour
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, the total first."""
        return {"usd_per_hour": self.usd_per_hour, **asdict(self)}


def cost_of(
    result: RunResult,
    prices: Prices,
    *,
    stored_bytes: int | None = None,
    used: GpuTime | None = None,
) -> Cost:
    """Price a run, fresh or loaded; `used` is its `gpu_time` where that is known already."""
    scenario, summary = result.scenario, result.summary_dict()
    hours = _number(summary["simulated_s"]) / 3600
    ranks = scenario.engine.tensor_parallel_size
    gpus = scenario.instances * ranks
    used = used or gpu_time(result)
    moved = _Moved.of(result.transfers, scenario)
    gpu, ram = standing_usd_per_hour(scenario, prices)
    stored = stored_bytes if stored_bytes is not None else _stored_bytes(result.tiers)
    storage = stored / TB * prices.usd_per_tb_month / HOURS_PER_MONTH
    requests = traffic = 0.0
    if hours > 0:
        checks = _remote_lookups(result.tiers) + moved.objects_read
        gets, puts = moved.gets + checks * moved.priced_checks, moved.puts
        requests = gets * prices.usd_per_1000_get + puts * prices.usd_per_1000_put
        requests /= 1000 * hours
        traffic = moved.read_bytes * prices.usd_per_gb_read
        traffic += moved.written_bytes * prices.usd_per_gb_written
        traffic /= GB * hours
    offload = ram + storage + requests + traffic

    busy_s = used.busy_s
    gpu_per_busy_s = gpu / busy_s if busy_s > 0 else 0.0
    computed_usd = gpu_per_busy_s * (used.prefill_s + used.store_s)
    cached_usd = gpu_per_busy_s * used.load_s + offload
    output_usd = gpu_per_busy_s * used.decode_s
    prompt, computed = _number(summary["prompt_tokens"]), _number(summary["computed_tokens"])
    output = _number(summary["output_tokens_per_s"]) * hours * 3600
    total = gpu + offload

    def per(usd_per_hour: float, amount: float, unit: float) -> float | None:
        return usd_per_hour * hours / amount * unit if amount > 0 else None

    return Cost(
        gpu_usd_per_hour=gpu,
        ram_usd_per_hour=ram,
        storage_usd_per_hour=storage,
        requests_usd_per_hour=requests,
        traffic_usd_per_hour=traffic,
        usd_per_million_input_tokens=per(computed_usd + cached_usd, prompt, 1e6),
        usd_per_million_computed_tokens=per(computed_usd, computed, 1e6),
        usd_per_million_cached_tokens=per(cached_usd, prompt - computed, 1e6),
        usd_per_million_output_tokens=per(output_usd, output, 1e6),
        usd_per_million_tokens=per(total, prompt + output, 1e6),
        usd_per_1000_requests=per(total, _number(summary["finished"]), 1e3),
        gpus=gpus,
        gpu_busy_fraction=busy_s / (busy_s + used.idle_s) if busy_s > 0 else 0.0,
    )


def standing_usd_per_hour(scenario: Scenario, prices: Prices) -> tuple[float, float]:
    """Return what GPUs and host memory cost an hour, whatever they do."""
    gpus = scenario.instances * scenario.engine.tensor_parallel_size
    ram_bytes = max(0.0, cpu_tier_bytes(scenario) - gpus * prices.ram_included)
    return gpus * prices.gpu_usd_per_hour, ram_bytes / GB * prices.ram_usd_per_gb_hour


def gpus_avoided(
    design: RunResult, baseline: RunResult, *, used: tuple[GpuTime, GpuTime] | None = None
) -> float | None:
    """Say how many GPUs more the baseline needs to serve what the design serves as busily.

    From busy GPU time for each finished request: GPUs of the design * (baseline's / design's - 1).
    Negative where the design needs more; None where either finished nothing. `used` is the
    `gpu_time` of both where that is known already.
    """
    scenario = design.scenario
    gpus = scenario.instances * scenario.engine.tensor_parallel_size
    each = []
    results = (design, baseline)
    for result, spent in zip(results, used or map(gpu_time, results), strict=True):
        finished = _number(result.summary_dict()["finished"])
        busy_s = spent.busy_s * result.scenario.engine.tensor_parallel_size
        if not finished or not busy_s:
            return None
        each.append(busy_s / finished)
    return gpus * (each[1] / each[0] - 1)


def gpu_time(result: RunResult) -> GpuTime:
    """Sort the engines' time between a run's begin and end by what it was for."""
    scenario, steps = result.scenario, result.steps
    start_s, end_s = result.manifest.start_s, result.manifest.end_s
    step_time = StepTime(
        scenario.model,
        scenario.gpu,
        scenario.engine,
        scenario.workload.token_content,
        pcie_bandwidth=scenario.host.pcie_bandwidth,
    )
    prefill_s = store_s = load_s = decode_s = 0.0
    for _, rows in steps.groupby("instance", sort=True):
        inside = rows[(rows["end_s"] > start_s) & (rows["end_s"] <= end_s)]
        ends = inside["end_s"].to_numpy(dtype=np.float64)
        if not ends.size:
            continue
        begins = inside["start_s"].to_numpy(dtype=np.float64)
        before = np.concatenate(([start_s], ends[:-1]))
        spans = np.maximum(ends - np.maximum(begins, before), 0.0)
        loads = np.minimum(inside["load_s"].to_numpy(dtype=np.float64), spans)
        alone = _decode_alone(inside, spans - loads, step_time)
        load_s += float(loads.sum())
        decode_s += float(alone.sum())
        prefill_s += float((spans - loads - alone).sum())
        store_s += float(inside["store_s"].sum())
    busy_s = prefill_s + store_s + load_s + decode_s
    idle_s = max(0.0, scenario.instances * (end_s - start_s) - busy_s)
    return GpuTime(prefill_s, store_s, load_s, decode_s, idle_s)


def _decode_alone(rows: pd.DataFrame, spans: Floats, step_time: StepTime) -> Floats:
    """Give the part of each row that its decodes alone would take."""
    decodes = rows["decodes"].to_numpy()
    contexts = rows["context_tokens"].to_numpy()
    prefills = rows["prefill_tokens"].to_numpy()
    alone = spans.copy()
    for index in np.flatnonzero(prefills > 0):
        n = int(decodes[index])
        own_s = step_time.step_s(n, int(contexts[index]), ()) if n else 0.0
        alone[index] = min(own_s, spans[index])
    return alone


def cpu_tier_bytes(scenario: Scenario) -> int:
    """Return the host memory of all CPU tiers of all ranks of all instances."""
    if scenario.offload.connector == "none":
        return 0
    ranks = scenario.engine.tensor_parallel_size
    return scenario.offload.cpu.capacity * ranks * scenario.instances


@dataclass(frozen=True)
class _Moved:
    """What went to and from the store, and the requests that this takes."""

    read_bytes: float = 0.0
    written_bytes: float = 0.0
    objects_read: float = 0.0
    gets: float = 0.0
    puts: float = 0.0
    priced_checks: float = 0.0

    @classmethod
    def of(cls, transfers: pd.DataFrame, scenario: Scenario) -> _Moved:
        remote = transfers[transfers["tier"] == "remote"]
        reads, writes = (remote[remote["direction"] == way] for way in ("read", "write"))
        read, written = float(reads["objects"].sum()), float(writes["objects"].sum())
        amounts = float(reads["n_bytes"].sum()), float(writes["n_bytes"].sum())
        store = scenario.offload.remote.profile if scenario.offload.remote else None
        if not isinstance(store, ObjectStorageSpec):
            return cls(*amounts, objects_read=read)
        chunk_bytes = scenario.chunk_bytes
        gets_each = 2 if chunk_bytes > store.client.first_range else 1
        parts = -(-chunk_bytes // store.client.part)
        puts_each = parts + 2 if parts > 1 else 1
        return cls(*amounts, read, read * gets_each, written * puts_each, priced_checks=1.0)


def _remote_lookups(tiers: pd.DataFrame) -> float:
    return float(tiers.loc[tiers["tier"] == "remote", "lookups"].sum())


def _stored_bytes(tiers: pd.DataFrame) -> float:
    return float(tiers.loc[tiers["tier"] == "remote", "peak_used_bytes"].sum())


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
