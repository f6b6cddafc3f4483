"""Warn of designs in which uploads can fill the CPU tier, and a read from the store then hangs.

LMCache keeps a chunk in CPU memory until its upload is done. While all users are new, prefills
make KV faster than the client uploads it; once uploads hold all of the tier, a read from the
object store waits for memory on the very thread that would finish them, and the engine is dead.
Files are not concerned: their puts end on threads of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvsim.compute.step_time import StepTime
from kvsim.spec import MultiRoundQaSpec, ObjectStorageSpec, Scenario
from kvsim.text import duration
from kvsim.units import format_bytes, format_rate


@dataclass(frozen=True)
class StallRisk:
    """The cold phase of a run, per rank."""

    write_bytes_per_s: float
    """Rate at which prefills of new users make KV."""
    upload_bytes_per_s: float
    """Rate at which the client uploads it."""
    lasts_s: float
    """Time until as many users as are alive at once have joined."""
    headroom_bytes: float
    """CPU memory beside the longest prompt that a read has to hold."""

    @property
    def backlog_bytes(self) -> float:
        """Uploads that wait at the end of the cold phase."""
        return max(0.0, self.write_bytes_per_s - self.upload_bytes_per_s) * self.lasts_s

    @property
    def can_stall(self) -> bool:
        """Tell whether waiting uploads can leave a read without memory."""
        return self.backlog_bytes > self.headroom_bytes

    @property
    def warning(self) -> str | None:
        """Say it in words, if there is a risk."""
        if not self.can_stall:
            return None
        if self.headroom_bytes <= 0:
            return (
                "the engine can deadlock: the CPU tier cannot hold the longest prompt, which a "
                "read from the object store has to fit into; enlarge offload.cpu.capacity"
            )
        return (
            f"the engine can deadlock: new users write {format_rate(self.write_bytes_per_s)} to "
            f"the CPU tier, uploads drain {format_rate(self.upload_bytes_per_s)}, so after "
            f"{duration(self.lasts_s)} {format_bytes(round(self.backlog_bytes))} wait in a tier "
            f"with room for {format_bytes(round(self.headroom_bytes))}, and a read from the store "
            "then finds no memory; enlarge offload.cpu.capacity or add uploads"
        )


def stall_risk(scenario: Scenario) -> StallRisk | None:
    """Estimate the cold phase; None where no object store, a filled one, or another workload."""
    work, offload = scenario.workload, scenario.offload
    remote = offload.remote
    if (
        offload.connector == "none"
        or remote is None
        or remote.start_from is not None
        or not isinstance(remote.profile, ObjectStorageSpec)
        or not isinstance(work, MultiRoundQaSpec)
    ):
        return None
    degree = scenario.engine.tensor_parallel_size
    token_bytes = scenario.model.kv_bytes_per_token_per_rank(degree)
    chunk_bytes = offload.chunk_tokens * token_bytes
    new_tokens = work.first_prompt_tokens - work.shared_system_prompt
    tokens_per_s = min(work.qps / scenario.instances * new_tokens, _prefill_tokens_per_s(scenario))
    longest = -(-work.last_prompt_tokens // offload.chunk_tokens) * chunk_bytes
    return StallRisk(
        write_bytes_per_s=tokens_per_s * token_bytes,
        upload_bytes_per_s=_upload_bytes_per_s(remote.profile, chunk_bytes, scenario.instances),
        lasts_s=min(work.time, work.num_users / work.qps),
        headroom_bytes=float(offload.cpu.capacity - longest),
    )


def _prefill_tokens_per_s(scenario: Scenario) -> float:
    """Give the rate of one instance that does nothing but compute whole prompts."""
    work = scenario.workload
    assert isinstance(work, MultiRoundQaSpec)
    model = StepTime(
        scenario.model,
        scenario.gpu,
        scenario.engine,
        work.token_content,
        pcie_bandwidth=scenario.host.pcie_bandwidth,
    )
    before, prompt_s = 0, 0.0
    while before < work.first_prompt_tokens:
        n = min(scenario.max_num_batched_tokens, work.first_prompt_tokens - before)
        prompt_s += model.step_s(0, 0, [(before, n)])
        before += n
    return work.first_prompt_tokens / prompt_s


def _upload_bytes_per_s(store: ObjectStorageSpec, chunk_bytes: int, instances: int) -> float:
    """Give the rate of one client with all its uploads busy."""
    client, write = store.client, store.write
    parts = -(-chunk_bytes // client.part)
    streams = min(client.uploads * parts, client.connections)
    wire_bytes_per_s = min(
        streams * write.per_connection, client.body_bandwidth, write.bandwidth / instances
    )
    round_trips = 3 if chunk_bytes > client.part else 1
    batch_bytes = client.uploads * chunk_bytes
    return batch_bytes / (round_trips * write.first_byte + batch_bytes / wire_bytes_per_s)
