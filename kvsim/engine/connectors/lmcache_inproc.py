"""LMCache inside the vLLM worker (`LMCacheConnectorV1`): which chunks are found, loaded and stored.

Bookkeeping only; `engine.py` lets the time pass that the copies and transfers take. Rules
(docs/model.md gives their source): chunks are looked up from token 0 through CPU memory, then the
remote tier, up to the first that nobody has; the CPU hits are pinned and touched from last to
first; chunks the GPU already has are not loaded; every new full chunk is written to CPU memory
and, at once, to the remote tier, without asking whether it is there; remote hits are entered into
CPU memory. Left out: partial chunks (`save_unfull_chunk` off), layerwise and asynchronous loading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass

from kvsim.cache.chunk_tier import ChunkTier
from kvsim.cache.key_runs import KeyRuns
from kvsim.cache.keys import Keys, cut, num_keys, unit_keys
from kvsim.cache.remote_store import RemoteStore
from kvsim.engine.sequence import NEVER, Load, Sequence
from kvsim.spec import HostSpec, OffloadSpec
from kvsim.storage import StorageClient
from kvsim.workload.request import Request


@dataclass(slots=True)
class _Found:
    """The lookup of one request, kept until it is admitted."""

    keys: Keys
    cpu_chunks: int
    hit_chunks: int


class LmcacheInproc:
    """LMCache of one worker: CPU tier, view of the remote store, lookups under way."""

    def __init__(
        self,
        spec: OffloadSpec,
        host: HostSpec,
        *,
        cpu: ChunkTier,
        remote: RemoteStore | None,
        client: StorageClient | None,
        chunk_bytes: int,
    ) -> None:
        self.cpu = cpu
        self.remote = remote
        self.client = client
        self.chunk_bytes = chunk_bytes
        self.chunk_tokens = spec.chunk_tokens
        self.lookups = 0
        self.dropped_chunks = 0
        self.puts = 0
        self.on_puts_eased: Callable[[], None] = _nothing
        self.is_dead = False
        self.step_delay_s = client.step_delay_s if client is not None else 0.0
        self._busy_puts = client.busy_puts if client is not None else 1
        self._spec = spec
        self._host = host
        self._found: dict[int, _Found] = {}
        self._known = KeyRuns()
        self._host_s = 0.0

    def match(self, sequence: Sequence, local_tokens: int) -> int:
        found = self._found.get(sequence.request_id)
        if found is None:
            found = self._found[sequence.request_id] = self._lookup(sequence)
        hit_tokens = found.hit_chunks * self.chunk_tokens
        external = hit_tokens - local_tokens
        if hit_tokens == sequence.num_tokens:
            external -= 1  # the last token is always computed
        if external <= 0 or external < self._spec.min_retrieve_tokens:
            return 0
        return external

    def _lookup(self, sequence: Sequence) -> _Found:
        schedule = self._host.schedule
        num_tokens = sequence.num_tokens
        factor = self._host.put_interference.schedule if self.disturbs_host else 1.0
        self._host_s += (schedule.lookup_fixed + schedule.lookup_per_token * num_tokens) * factor
        self.lookups += 1
        if self.is_dead:
            self._host_s += self._spec.lookup_timeout
            return _Found([], 0, 0)
        num_chunks = num_tokens // self.chunk_tokens
        keys = unit_keys(sequence.path, self.chunk_tokens, 0, num_chunks)
        cpu_chunks = self.cpu.prefix(keys)
        hit_chunks = cpu_chunks
        if self.remote is not None and self.client is not None and cpu_chunks < num_chunks:
            remote_chunks = self.remote.look_up(cut(keys, cpu_chunks, num_chunks))
            hit_chunks += remote_chunks
            asked = cut(keys, cpu_chunks, hit_chunks + 1)  # ends with the miss, if there is one
            num_asked = num_keys(asked)
            if self.client.remembers_checks:
                num_asked -= sum([self._known.common(run) for run in asked])
            check_s = self.client.lookup_s(num_asked) if num_asked else 0.0
            if check_s > self._spec.lookup_timeout:
                self._host_s += self._spec.lookup_timeout
                return _Found([], 0, 0)
            self._host_s += check_s
            self._remember(cut(keys, cpu_chunks, hit_chunks))
        if cpu_chunks:
            self.cpu.pin(sequence.request_id, cut(keys, 0, cpu_chunks))
        return _Found(keys, cpu_chunks, hit_chunks)

    def prefix_tokens(self, request: Request) -> int:
        """Count the leading prompt tokens that lie in CPU memory (what a controller knows)."""
        chunks = request.prompt_tokens // self.chunk_tokens
        return self.cpu.prefix(unit_keys(request.path, self.chunk_tokens, 0, chunks)) * (
            self.chunk_tokens
        )

    def allocated(self, sequence: Sequence, local_tokens: int, external_tokens: int) -> Load | None:
        found = self._found.pop(sequence.request_id)
        sequence.saved_chunks = found.hit_chunks
        sequence.store_at = (sequence.saved_chunks + 1) * self.chunk_tokens
        if not external_tokens:
            return None
        first = local_tokens // self.chunk_tokens  # a chunk the GPU has in part is fetched whole
        return Load(
            sequence,
            cpu_chunks=max(0, found.cpu_chunks - first),
            remote_keys=cut(found.keys, max(first, found.cpu_chunks), found.hit_chunks),
            remote_chunks=found.hit_chunks - max(first, found.cpu_chunks),
        )

    def preempted(self, sequence: Sequence) -> None:
        sequence.store_at = NEVER
        self.release_pins(sequence)

    def cpu_tokens(self, load: Load) -> int:
        """Count the tokens of a load that come from CPU memory, not from the remote tier."""
        if not load.remote_chunks:
            return load.sequence.external_tokens
        if not load.cpu_chunks:
            return 0
        local_tokens = load.sequence.local_tokens
        cpu_end = local_tokens // self.chunk_tokens + load.cpu_chunks
        return cpu_end * self.chunk_tokens - local_tokens

    def take_host_s(self) -> float:
        host_s, self._host_s = self._host_s, 0.0
        return self._host.schedule.decode + host_s

    @property
    def disturbs_host(self) -> bool:
        """Say whether so many puts are in flight that the engine and its API server feel them."""
        return self.puts >= self._busy_puts

    def spanning_check_s(self, load: Load) -> float:
        """Give the time to ask again for each chunk of a load that spans both tiers."""
        if (
            self.client is None
            or self.client.remembers_checks
            or not (load.cpu_chunks and load.remote_chunks)
        ):
            return 0.0
        return self.client.lookup_s(load.cpu_chunks + load.remote_chunks)

    def reserve(self, load: Load) -> bool:
        """Take CPU memory for the remote chunks of a load; False if nothing can make room."""
        self.cpu.charge_to(load.sequence.request.tenant)
        return self.cpu.reserve(load.remote_chunks)

    def give_back(self, load: Load) -> None:
        """Free the CPU memory of remote chunks that did not come."""
        self.cpu.give_back(load.remote_chunks)

    def blocking_timeout_s(self, load: Load) -> float:
        """Give the patience for a read: for a whole batch of objects, or each file in turn."""
        batch = self.client is not None and self.client.remembers_checks
        return self._spec.blocking_timeout * (1 if batch else load.remote_chunks)

    def promote(self, load: Load) -> None:
        """Enter the remote chunks of a load, which have arrived, into CPU memory."""
        self.cpu.insert(load.remote_keys, held=False)

    def release_pins(self, sequence: Sequence) -> None:
        """Take back what a lookup promised, once the load is done or there is none."""
        self.cpu.unpin(sequence.request_id)

    def to_store(self, sequence: Sequence) -> Keys:
        """Name the chunks that a step has completed, and count them as saved."""
        full_chunks = sequence.num_computed // self.chunk_tokens
        keys = unit_keys(sequence.path, self.chunk_tokens, sequence.saved_chunks, full_chunks)
        sequence.saved_chunks = full_chunks
        self.cpu.charge_to(sequence.request.tenant)
        sequence.store_at = (full_chunks + 1) * self.chunk_tokens
        return keys

    def end_prefill(self, sequences: Iterable[Sequence]) -> None:
        """Stop storing when the answer begins, unless `save_decode_cache` wants its chunks too."""
        if not self._spec.save_decode_cache:
            for sequence in sequences:
                sequence.store_at = NEVER

    def allocate_store(self, keys: Keys) -> Keys:
        """Take CPU memory for new chunks and name those that got it; the rest is dropped."""
        wanted = num_keys(keys)
        granted = self.cpu.can_allocate(wanted)
        self.dropped_chunks += wanted - granted
        self.cpu.allocate(granted)
        return keys if granted == wanted else cut(keys, 0, granted)

    def store(self, keys: Keys) -> float:
        """Enter copied chunks into CPU memory and send them to the remote tier.

        Return how long handing them over holds up the engine (s).
        """
        client = self.client
        self.cpu.insert(keys, held=client is not None)
        if client is None:
            return 0.0
        num_puts = num_keys(keys)
        handover_s = client.handover_s(num_puts)
        self.puts += num_puts
        for run in keys:
            if self.cpu.tenant is not None and self.remote is not None:
                self.remote.claim(run, self.cpu.tenant)
            client.write(run, self.chunk_bytes, self._uploaded)
        return handover_s

    def _remember(self, keys: Keys) -> None:
        """Never ask for these again, if the client keeps such a list."""
        if self.client is not None and self.client.remembers_checks:
            for run in keys:
                self._known.add(run)

    def _uploaded(self, keys: Seq[int]) -> None:
        assert self.remote is not None, "a put without a store"
        run = range(keys[0], keys[-1] + 1)  # as `store` hands them over
        self.remote.add(run)
        self._remember([run])
        disturbed = self.disturbs_host
        self.cpu.release(keys)
        self.puts -= len(keys)
        if disturbed and not self.disturbs_host:
            self.on_puts_eased()


def _nothing() -> None:
    """Wait for nobody."""
