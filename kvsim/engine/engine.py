"""One vLLM engine: its core loop in time, with LMCache's blocking loads and stores.

One pass of the loop, as in vLLM's `step_with_batch_queue` with one process per GPU:

    read the input -> schedule (lookups included) -> load, blocking -> launch the forward pass
    -> if chunks are complete: wait for this forward, copy them to CPU memory
    -> if two steps are in flight, or the older is done: wait for it, hand out its tokens

so a step is planned while the one before it runs; a load or a store holds up everybody, the older
step's tokens included. The GPU begins a step when it is free and the launch has reached it, and
cannot end one before the host has launched all of it: eager launches of small batches are bound by
the host.

While only decodes run, passes differ by arithmetic alone: `_decode` takes a run of them in one
event and can be woken in between. `coalesce=False` takes every pass by itself; both give the same
rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator

from kvsim.cache.keys import listed, num_keys
from kvsim.compute.step_time import StepTime
from kvsim.des.clock import PLAN, Alarm, Clock, Task, Timeout
from kvsim.engine.connectors.lmcache_inproc import LmcacheInproc
from kvsim.engine.decode_run import DecodeRun, DecodeRuns
from kvsim.engine.launcher import Launcher
from kvsim.engine.ledger import Ledger
from kvsim.engine.schedule import Scheduler
from kvsim.engine.sequence import Load, Sequence, Step
from kvsim.engine.step_rows import StepRows
from kvsim.engine.tier_usage import TierUsage
from kvsim.metrics.recorder import Recorder
from kvsim.spec import UNDISTURBED, HostSpec, PutInterference

Wait = Generator[float | None, None, None]
"""A stretch of the loop: yields the instant at which it goes on, or None before an alarm."""

_RESERVE_RETRY_S = 0.1
"""LMCache's allocation for a load sleeps this long between tries (`busy_loop`)."""


class Engine:
    """Serve the requests of one instance on one model replica."""

    def __init__(
        self,
        clock: Clock,
        index: int,
        *,
        scheduler: Scheduler,
        lmcache: LmcacheInproc | None,
        step_time: StepTime,
        host: HostSpec,
        block_bytes: int,
        ledger: Ledger,
        recorder: Recorder,
        on_first_token: Callable[[Sequence, float], None],
        on_finished: Callable[[Sequence], None],
        on_failed: Callable[[Sequence], None],
        coalesce: bool,
    ) -> None:
        self.clock = clock
        self.index = index
        self.scheduler = scheduler
        self.lmcache = lmcache
        self.is_dead = False
        self._launcher = Launcher(step_time, host.launch)
        self._decode_runs = DecodeRuns(step_time, host)
        self._host = host
        self._update_s = host.update
        self._ledger = ledger
        self._recorder = recorder
        self._on_first_token = on_first_token
        self._on_finished = on_finished
        self._on_failed = on_failed
        self._coalesce = coalesce
        self._plan = PLAN + index
        self._inbox: list[Sequence] = []
        self._in_flight: deque[Step] = deque()
        self._patience = Timeout(clock, self._plan)  # with the read under way
        self._alarm: Alarm | None = None  # what the loop waits for, unless in a pass
        self._run_ahead: DecodeRun | None = None
        self._wakes_on_arrival = True
        self._rows = StepRows(recorder, index)
        self.usage = TierUsage(index, scheduler.pool, lmcache, block_bytes)
        if lmcache is not None:
            lmcache.on_puts_eased = self._wake
        self._task = Task(clock, self._run(), self._plan)

    @property
    def puts_in_flight(self) -> int:
        """Count the remote puts under way."""
        return self.lmcache.puts if self.lmcache is not None else 0

    @property
    def is_disturbed(self) -> bool:
        """Say whether remote puts slow the host down."""
        return self.lmcache is not None and self.lmcache.disturbs_host

    def submit(self, sequence: Sequence) -> None:
        """Put a request into the engine's input, which the loop reads at its next pass."""
        if self.is_dead:
            self._on_failed(sequence)
            return
        sequence.request.engine_s = self.clock.now
        self._inbox.append(sequence)
        if self._wakes_on_arrival:
            self._wake()

    def close(self) -> None:
        """Take the passes of a run that have begun and write the last row, at the very end."""
        if self._run_ahead is not None:
            begun = self._run_ahead.begun(self.clock.now)
            if begun:
                self._note_run(self._run_ahead, begun)
                self.scheduler.advance(begun)
        self._rows.flush()

    def _wake(self) -> None:
        """Go on: at once if idle, with the pass that begins next if in a run of decodes."""
        alarm, self._alarm = self._alarm, None
        if alarm is None:
            return
        when_s = self.clock.now
        if self._run_ahead is not None:
            when_s = self._run_ahead.next_start_s(when_s)
        self.clock.call_at(when_s, alarm, self._plan)

    def _run(self) -> Wait:
        scheduler = self.scheduler
        while not self.is_dead:
            if self._inbox:
                for sequence in self._inbox:
                    scheduler.add(sequence)
                self._inbox.clear()
            if not self._in_flight and not scheduler.has_requests:
                self._alarm = Alarm(self._task.go_on)
                yield None
                continue
            runway = 0
            if self._coalesce and len(self._in_flight) == 1:
                runway = scheduler.runway(self._in_flight[0])
            if runway >= 2:
                yield from self._decode(runway)
            else:
                yield from self._pass()

    def _pass(self) -> Wait:
        """Take one pass of the loop."""
        clock, host = self.clock, self._host
        start_s = clock.now
        interference, delay_s = self._interference()
        step = self.scheduler.schedule()
        now = start_s + step.host_s
        if not step.is_empty:
            load_s = store_s = 0.0
            if step.admitted:
                self._note_admissions(step, start_s)
            if step.loads:
                now += host.launch.load_prepare * interference.piecewise_launch
                yield from self._load(step, now)
                if self.is_dead:
                    return
                load_s, now = clock.now - now, clock.now
            if self.lmcache is not None:
                for sequence in step.admitted:
                    self.lmcache.release_pins(sequence)
            now = self._launcher.launch(step, now, interference, delay_s)
            if step.stores:
                begun_s = max(now, step.gpu_end_s)
                now = yield from self._store(step, begun_s)
                store_s = now - begun_s
            if step.chunks and self.lmcache is not None:
                self.lmcache.end_prefill(step.sampled)
            self._rows.add(step, start_s, load_s, store_s)
            self._in_flight.append(step)
            if len(self._in_flight) < 2 and self._in_flight[0].gpu_end_s >= now:
                yield now
                return
        assert self._in_flight, "requests wait, but nothing can run"
        oldest = self._in_flight.popleft()
        yield max(now, oldest.gpu_end_s) + self._update_s
        self._process(oldest)

    def _decode(self, runway: int) -> Wait:
        """Take up to `runway` passes that only decode, in one event.

        If something comes in, take those that begin before it.
        """
        clock, scheduler = self.clock, self.scheduler
        decodes = len(scheduler.running)
        self._run_ahead = run = self._decode_runs.run(
            now_s=clock.now,
            gpu_end_s=self._launcher.gpu_free_s,
            delay_s=self._interference()[1],
            num_steps=runway,
            contexts=[sequence.num_computed for sequence in scheduler.running],
        )
        in_line = scheduler.waiting and not scheduler.by_priority
        self._wakes_on_arrival = not in_line and decodes < scheduler.max_num_seqs
        self._alarm = alarm = Alarm(self._task.go_on)
        clock.call_at(run.start_s(runway), alarm, self._plan)
        yield None
        self._alarm = self._run_ahead = None
        self._wakes_on_arrival = True
        done = run.begun(clock.now)
        self._note_run(run, done)
        scheduler.advance(done)
        last = Step()
        last.decodes = decodes
        last.context_tokens = run.context_tokens + (done - 1) * decodes
        last.sampled = list(scheduler.running)
        last.gpu_end_s = self._launcher.gpu_free_s = run.ends[done - 1]
        self._in_flight[0] = last

    def _note_run(self, run: DecodeRun, done: int) -> None:
        """Record `done` passes of a run, whose first hands out the tokens of the step before."""
        handed_out_s = run.start_s(1)
        if handed_out_s <= self.clock.now:
            for sequence in self._in_flight[0].sampled:
                if not sequence.num_output:
                    self._on_first_token(sequence, handed_out_s)
        self._rows.add_run(
            run.start_s(0),
            run.ends[done - 1],
            num_steps=done,
            decodes=run.decodes,
            context_tokens=run.context_tokens,
        )

    def _note_admissions(self, step: Step, now: float) -> None:
        self.usage.note(self.clock.now)
        by_request = {id(load.sequence): load for load in step.loads}
        for sequence in step.admitted:
            request = sequence.request
            if request.scheduled_s is not None:
                continue  # resumed: where its prompt came from was noted at first
            request.scheduled_s = now
            request.outcome = "running"
            request.hit_tokens_hbm = sequence.local_tokens
            load = by_request.get(id(sequence))
            if load is not None and self.lmcache is not None:
                request.hit_tokens_cpu = self.lmcache.cpu_tokens(load)
                request.hit_tokens_remote = sequence.external_tokens - request.hit_tokens_cpu
            hit_tokens = sequence.local_tokens + sequence.external_tokens
            request.computed_tokens = request.prompt_tokens - hit_tokens
            self._ledger.admit(request, self.index, hit_tokens)

    def _interference(self) -> tuple[PutInterference, float]:
        """Give what remote puts do to a step now: factors on its launch, a delay of its end."""
        if self.lmcache is None or not self.lmcache.disturbs_host:
            return UNDISTURBED, 0.0
        return self._host.put_interference, self.lmcache.step_delay_s

    def _load(self, step: Step, now: float) -> Wait:
        """Bring the step's loads into the GPU, one after another from `now` on; everybody waits."""
        assert self.lmcache is not None, "a load without a connector"
        clock, copy = self.clock, self._host.load
        for load in step.loads:
            asked_s = now
            if load.remote_chunks:
                if now > clock.now:
                    yield now
                loaded = yield from self._read_remote(load)
                if self.is_dead:
                    return
                now = clock.now
                if not loaded:
                    self._fail(step, load.sequence)
                    continue
            num_chunks = load.cpu_chunks + load.remote_chunks
            copy_s = copy.fixed + num_chunks * self.lmcache.chunk_bytes / copy.bandwidth
            started_s, now = now, now + copy_s
            yield now
            self._record_copy("read", num_chunks, started_s)
            load.sequence.request.load_s += now - asked_s

    def _read_remote(self, load: Load) -> Generator[float | None, None, bool]:
        lmcache, clock = self.lmcache, self.clock
        assert lmcache is not None
        assert lmcache.client is not None, "remote chunks without a client"
        check_s = lmcache.spanning_check_s(load)
        if check_s:
            yield clock.now + check_s
        while not lmcache.reserve(load):
            if lmcache.client.remembers_checks or not lmcache.puts:
                # The object client allocates on the thread that finishes its puts: neither can go
                # on. Files: with no put under way nothing will ever give memory back.
                yield from self._die(load)
                return False
            yield clock.now + _RESERVE_RETRY_S
        read = lmcache.client.read(listed(load.remote_keys), lmcache.chunk_bytes)
        read_or_late = Alarm(self._task.go_on)
        self._patience.set(clock.now + lmcache.blocking_timeout_s(load), read_or_late)
        read.callbacks.append(lambda _: clock.call_at(clock.now, read_or_late))
        yield None
        self._patience.lift()
        if not read.triggered:
            lmcache.give_back(load)
            return False
        lmcache.promote(load)
        return True

    def _fail(self, step: Step, sequence: Sequence) -> None:
        """End a request whose KV did not come (vLLM's `kv_load_failure_policy: fail`)."""
        self.scheduler.abort(sequence)
        if sequence in step.sampled:
            step.sampled.remove(sequence)
        if sequence in step.stores:
            step.stores.remove(sequence)
        self._on_failed(sequence)

    def _die(self, load: Load) -> Wait:
        """Stop serving: puts hold all CPU memory, and the read that waits for it stops them."""
        lmcache = self.lmcache
        assert lmcache is not None
        assert lmcache.client is not None
        lmcache.client.stall()
        yield self.clock.now + lmcache.blocking_timeout_s(load)
        self.is_dead = True
        for sequence in (*self.scheduler.running, *self.scheduler.waiting, *self._inbox):
            self._on_failed(sequence)

    def _store(self, step: Step, now: float) -> Generator[float | None, None, float]:
        """Copy the chunks that this step completed to CPU memory, from `now` on; everybody waits.

        Return when all is handed over; that may lie a little ahead.
        """
        lmcache, clock, copy = self.lmcache, self.clock, self._host.store
        assert lmcache is not None, "a store without a connector"
        for sequence in step.stores:
            if now > clock.now:
                yield now
            keys = lmcache.allocate_store(lmcache.to_store(sequence))
            num_chunks = num_keys(keys)
            if not num_chunks:
                continue
            factor = self._host.put_interference.store_copy if lmcache.disturbs_host else 1.0
            copy_s = (copy.fixed + num_chunks * lmcache.chunk_bytes / copy.bandwidth) * factor
            started_s, now = now, now + copy_s
            yield now
            self._record_copy("write", num_chunks, started_s)
            now += lmcache.store(keys)
        return now

    def _record_copy(self, direction: str, num_chunks: int, started_s: float) -> None:
        assert self.lmcache is not None
        n_bytes = num_chunks * self.lmcache.chunk_bytes
        self._recorder.transfer(
            self.index, "cpu", direction, n_bytes, num_chunks, started_s, started_s, self.clock.now
        )

    def _process(self, step: Step) -> None:
        """Hand out the tokens of a finished step."""
        first = [sequence for sequence in step.sampled if not sequence.num_output]
        finished = self.scheduler.update(step)
        for sequence in first:
            self._on_first_token(sequence, self.clock.now)
        if finished:
            self.usage.note(self.clock.now)
        for sequence in finished:
            self._ledger.finish(sequence.request, self.index)
            self._on_finished(sequence)
