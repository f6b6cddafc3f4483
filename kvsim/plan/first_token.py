"""Time to first token of one request on an idle instance, in closed form: computed or loaded.

The same formulas as the simulation's (StepTime, the host's copies and overheads, the storage
clients), summed up for a request that meets nobody on its instance. `concurrency` instances load
at once from a shared store, one request each; computing shares nothing. Left out, because the
question is about a warm system: the slow first loads of a fresh object client.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from typing import Literal

from kvsim.compute.step_time import StepTime
from kvsim.spec.scenario import Scenario
from kvsim.spec.storage import FileStorageSpec, ObjectStorageSpec
from kvsim.storage.client import latency_factor, pipeline_fill_s

Store = FileStorageSpec | ObjectStorageSpec
Outcome = Literal["served", "lookup_timeout", "load_timeout"]


@dataclass(frozen=True)
class Parts:
    """Where the time to first token goes (s)."""

    request_in: float = 0.0
    """HTTP, template, tokeniser."""
    schedule: float = 0.0
    """Scheduler, with LMCache's look-up."""
    checks: float = 0.0
    """Existence checks in the store, one after another."""
    latency: float = 0.0
    """Fixed times of the load: preparing it, first bytes, filling the pipeline."""
    transfer: float = 0.0
    """Bytes from the store, at the rate that all streams reach."""
    copy: float = 0.0
    """CPU to GPU."""
    compute: float = 0.0
    """Forward passes and their launches."""
    store: float = 0.0
    """Copies of new chunks to CPU memory."""
    request_out: float = 0.0
    """Token to the client."""
    outcome: Outcome = "served"

    @property
    def total_s(self) -> float:
        """Time to first token; infinite if the load is given up and the request with it."""
        if self.outcome == "load_timeout":
            return float("inf")
        return sum(self.seconds.values())

    @property
    def engine_s(self) -> float:
        """Time for which the engine serves nobody else."""
        return self.total_s - self.request_in - self.request_out

    @property
    def seconds(self) -> dict[str, float]:
        """The parts by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "outcome"}


class FirstToken:
    """Predict times to first token for one scenario's model, GPU, host and LMCache settings."""

    def __init__(self, scenario: Scenario, *, concurrency: int = 1) -> None:
        self.scenario = scenario
        self.concurrency = concurrency
        self.chunk_tokens = scenario.offload.chunk_tokens
        self.chunk_bytes = scenario.chunk_bytes
        self._host = scenario.host
        self._step_time = StepTime(
            scenario.model,
            scenario.gpu,
            scenario.engine,
            scenario.workload.token_content,
            pcie_bandwidth=scenario.host.pcie_bandwidth,
        )

    @property
    def longest_prompt(self) -> int:
        """Tokens of the longest prompt that the model and the GPU's KV pool take."""
        scenario = self.scenario
        held = (scenario.num_gpu_blocks - 1) * scenario.engine.block_tokens
        return min(scenario.max_model_len, held) - 1

    def recompute(self, prompt: int) -> Parts:
        """Compute the whole prompt in vLLM alone."""
        schedule = self._host.schedule
        host_s = schedule.decode + schedule.admit_fixed + schedule.admit_per_token * prompt
        compute_s = self._prefill_s(prompt)
        return self._frame(prompt, schedule=host_s, compute=compute_s)

    def miss(self, prompt: int, store: Store | None = None) -> Parts:
        """Compute the whole prompt with LMCache, which finds nothing and stores every chunk."""
        checks_s = self._check_s(store, 1) if store is not None else 0.0
        compute_s, store_s = self._stored_prefill(prompt, store)
        return self._frame(
            prompt,
            schedule=self._lookup_s(prompt),
            checks=checks_s,
            compute=compute_s,
            store=store_s,
        )

    def load(self, context: int, question: int, store: Store | None = None) -> Parts:
        """Load the whole chunks of a context from CPU memory, or a store, and compute the rest."""
        prompt = context + question
        chunks = min(context, prompt - 1) // self.chunk_tokens
        if not chunks:
            return self.miss(prompt, store)
        offload, host = self.scenario.offload, self._host
        checks_s = latency_s = transfer_s = 0.0
        if store is not None:
            # The look-up asks on until a miss, where there is a whole chunk left to ask for.
            asked = min(chunks + 1, prompt // self.chunk_tokens)
            checks_s = self._check_s(store, asked)
            if checks_s > offload.lookup_timeout:
                return self._given_up(prompt, store)
            latency_s, transfer_s = self._read(store, chunks)
            files = chunks if isinstance(store, FileStorageSpec) else 1
            if latency_s + transfer_s > offload.blocking_timeout * files:
                return Parts(outcome="load_timeout")
        copy = host.load
        rest = prompt - chunks * self.chunk_tokens
        compute_s, store_s = self._rest(chunks * self.chunk_tokens, rest, store)
        return self._frame(
            prompt,
            schedule=self._lookup_s(prompt),
            checks=checks_s,
            latency=host.launch.load_prepare + latency_s,
            transfer=transfer_s,
            copy=copy.fixed + chunks * self.chunk_bytes / copy.bandwidth,
            compute=compute_s,
            store=store_s,
        )

    def _given_up(self, prompt: int, store: Store) -> Parts:
        """Compute after a look-up that took too long."""
        compute_s, store_s = self._stored_prefill(prompt, store)
        return self._frame(
            prompt,
            schedule=self._lookup_s(prompt),
            checks=self.scenario.offload.lookup_timeout,
            compute=compute_s,
            store=store_s,
            outcome="lookup_timeout",
        )

    def _frame(
        self,
        prompt: int,
        *,
        schedule: float,
        checks: float = 0.0,
        latency: float = 0.0,
        transfer: float = 0.0,
        copy: float = 0.0,
        compute: float = 0.0,
        store: float = 0.0,
        outcome: Outcome = "served",
    ) -> Parts:
        host = self._host
        way_in, way_out = host.request_in, host.first_token_out
        return Parts(
            request_in=way_in.fixed + way_in.per_token * prompt,
            schedule=schedule,
            checks=checks,
            latency=latency,
            transfer=transfer,
            copy=copy,
            compute=compute,
            store=store,
            request_out=host.update + way_out.fixed + way_out.per_token * prompt,
            outcome=outcome,
        )

    def _lookup_s(self, prompt: int) -> float:
        schedule = self._host.schedule
        return schedule.decode + schedule.lookup_fixed + schedule.lookup_per_token * prompt

    def _check_s(self, store: Store, checks: int) -> float:
        factor = latency_factor(store.latency_by_load, 0.0)
        if isinstance(store, FileStorageSpec):
            return checks * store.stat * factor
        return checks * (store.head * factor + store.client.head_overhead)

    def _read(self, store: Store, chunks: int) -> tuple[float, float]:
        """Give the fixed time and the transfer time of one load."""
        factor = latency_factor(store.latency_by_load, 0.0)
        if isinstance(store, FileStorageSpec):
            threads = store.client.threads or min(32, self._host.num_cpus + 4)
            streams, each = min(chunks, threads), store.read.per_stream
            client_rate = store.client.mount_bandwidth
            latency_s = store.read.latency * factor
        else:
            streams = min(chunks, store.client.connections)
            each = store.read.per_connection
            client_rate = store.client.body_bandwidth
            trips = 2 if self.chunk_bytes > store.client.first_range else 1
            latency_s = trips * store.read.first_byte * factor
        fill_s = pipeline_fill_s(
            self.chunk_bytes, streams, each, min(client_rate, store.read.bandwidth)
        )
        rate = min(streams * each, client_rate, store.read.bandwidth / self.concurrency)
        return latency_s + fill_s, chunks * self.chunk_bytes / rate

    def _launch_s(self, tokens: int, *, after_load: bool = False, disturbed: bool = False) -> float:
        launch, slower = self._host.launch, self._host.put_interference
        if tokens > launch.piecewise_max_tokens:
            return launch.eager * (slower.launch if disturbed else 1.0)
        launch_s = launch.piecewise_graph_after_load if after_load else launch.piecewise_graph
        return launch_s * (slower.piecewise_launch if disturbed else 1.0)

    def _chunks(self, before: int, tokens: int) -> list[tuple[int, int]]:
        budget = self.scenario.max_num_batched_tokens
        return [(before + done, min(budget, tokens - done)) for done in range(0, tokens, budget)]

    def _prefill_s(self, prompt: int, *, before: int = 0, after_load: bool = False) -> float:
        """Give the time from the first launch to the end of the last pass, two passes in flight.

        The next pass is planned while one runs, so launches hide behind the GPU but for the first.
        """
        host = self._host
        now = free = 0.0
        ends: deque[float] = deque()
        for number, chunk in enumerate(self._chunks(before, prompt)):
            if number:
                now += host.schedule.decode
            begin = max(free, now)
            now += self._launch_s(chunk[1], after_load=after_load and not number)
            free = max(begin + self._step_time.step_s(0, 0, [chunk]), now)
            ends.append(free)
            if len(ends) == 2:
                now = max(now, ends.popleft()) + host.update
        return max(free, now + host.schedule.decode)

    def _rest(self, before: int, tokens: int, store: Store | None) -> tuple[float, float]:
        """Give the time to compute what a load left, and to store the chunks that it fills."""
        if (before + tokens) // self.chunk_tokens == before // self.chunk_tokens:
            return self._prefill_s(tokens, before=before, after_load=True), 0.0
        return self._stored_prefill(tokens, store, before=before, after_load=True)

    def _stored_prefill(
        self, tokens: int, store: Store | None, *, before: int = 0, after_load: bool = False
    ) -> tuple[float, float]:
        """Give the time of passes that each wait for their chunks' copy to CPU memory, and theirs.

        Puts slow the host once all uploads are busy, which the first pass's chunks see to.
        """
        host, saved = self._host, before // self.chunk_tokens
        busy_puts, delay_s, start_s = 1, 0.0, 0.0
        if isinstance(store, ObjectStorageSpec):
            busy_puts = store.client.uploads
            delay_s = store.client.upload_step_delay
            start_s = store.client.upload_start
        compute_s = store_s = 0.0
        puts = 0
        for number, (start, n) in enumerate(self._chunks(before, tokens)):
            if number:
                compute_s += host.schedule.decode + host.update
            disturbed = store is not None and puts >= busy_puts
            launched_s = self._launch_s(
                n, after_load=after_load and not number, disturbed=disturbed
            )
            pass_s = self._step_time.step_s(0, 0, [(start, n)]) + (delay_s if disturbed else 0.0)
            compute_s += max(pass_s, launched_s)
            new = (start + n) // self.chunk_tokens - saved
            if not new:
                continue
            saved += new
            copy = host.store
            copy_s = copy.fixed + new * self.chunk_bytes / copy.bandwidth
            store_s += copy_s * (host.put_interference.store_copy if disturbed else 1.0)
            if store is not None:
                store_s += new * store.client.put_handover
                store_s += min(new, max(0, busy_puts - puts)) * start_s
            puts += new
        return compute_s, store_s
