"""Logs that the model itself writes, with costs that the tests know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kvsim.calibration.fit.passes import RunTrace, trace_run
from kvsim.calibration.readers.engine_steps import ProcessedStep, ScheduledStep
from kvsim.calibration.readers.lmcache_log import Copy
from kvsim.calibration.readers.run_folder import MeasuredRun
from kvsim.compute.step_time import StepTime
from kvsim.spec import EngineSpec, GpuSpec, HostSpec, ModelSpec, load_profile

Work = tuple[int, int, tuple[tuple[int, int], ...], int, int]
"""Decodes, their context, prefill chunks, chunks loaded before, chunks stored after."""


@pytest.fixture
def model() -> ModelSpec:
    return load_profile("models", "qwen3-8b")


@pytest.fixture
def gpu() -> GpuSpec:
    return load_profile("gpus", "h100-sxm-80gb")


@pytest.fixture
def host() -> HostSpec:
    return load_profile("hosts", "xeon-pcie5")


class Bench:
    """Plays passes of the engine loop as kvsim.engine does, and notes what a probe would."""

    def __init__(
        self, model: ModelSpec, gpu: GpuSpec, host: HostSpec, *, diverse: bool, noise: float = 0.0
    ) -> None:
        content = "diverse" if diverse else "repetitive"
        self._step = StepTime(model, gpu, EngineSpec(), content)
        self._host = host
        self._chunk_bytes = model.kv_bytes_per_token * 256
        self._draw = np.random.default_rng(1)
        self._noise = noise
        self.diverse = diverse

    def play(self, work: Iterator[Work], name: str) -> RunTrace:
        host, launch = self._host, self._host.launch
        now, gpu_free_s = 0.0, 0.0
        older: tuple[int, float] | None = None
        events: list[ScheduledStep | ProcessedStep] = []
        loads: list[Copy] = []
        stores: list[Copy] = []
        for index, (decodes, context, chunks, loaded, stored) in enumerate(work):
            scheduled_s = now + host.schedule.decode
            events.append(
                ScheduledStep(
                    index, scheduled_s, host.schedule.decode, decodes, context, chunks, 1, 0, 0
                )
            )
            now = scheduled_s
            if loaded:
                copy_s = host.load.fixed + loaded * self._chunk_bytes / host.load.bandwidth
                now += launch.load_prepare + copy_s
                loads.append(self._copy(now, loaded, copy_s))
            waves = 1.0 if chunks else self._step.waves(_evenly(decodes, context))
            gpu_s = self._step.step_s(decodes, context, chunks, waves) * self._jitter()
            if not chunks:
                end_s = max(gpu_free_s, now + launch.graph_start) + gpu_s
                now += launch.full_graph
            else:
                tokens = decodes + sum(n for _, n in chunks)
                launch_s = launch.eager
                if tokens <= launch.piecewise_max_tokens:
                    launch_s = (
                        launch.piecewise_graph_after_load if loaded else launch.piecewise_graph
                    )
                end_s = max(max(gpu_free_s, now) + gpu_s, now + launch_s)
                now += launch_s
            gpu_free_s = end_s
            if stored:
                copy_s = host.store.fixed + stored * self._chunk_bytes / host.store.bandwidth
                now = max(now, end_s) + copy_s
                stores.append(self._copy(now, stored, copy_s))
            if older is not None:
                now = max(now, older[1])
                events.append(ProcessedStep(older[0], now))
                now += host.update
            older = (index, end_s)
        run = MeasuredRun(
            path=Path(name),
            epoch_s=1.7e9,
            start_s=None,
            end_s=None,
            summary=None,
            requests=(),
            events=tuple(events),
            lookups=(),
            loads=tuple(loads),
            stores=tuple(stores),
            object_requests=(),
        )
        trace = trace_run(run)
        return RunTrace(run, trace.passes, "", self.diverse, 256)

    def _jitter(self) -> float:
        return float(np.exp(self._draw.normal(0, self._noise))) if self._noise else 1.0

    def _copy(self, end_s: float, chunks: int, copy_s: float) -> Copy:
        stamp_s = np.floor(end_s * 1e3) / 1e3  # the log cuts to milliseconds
        return Copy(None, float(stamp_s), chunks * 256, chunks * self._chunk_bytes, copy_s, copy_s)


def _evenly(decodes: int, context: int) -> list[int]:
    return [context // decodes] * decodes if decodes else []


def serving(rounds: int, *, prompts: tuple[int, ...], lmcache: bool) -> Iterator[Work]:
    """Decode in batches of 1 to 16, prefilling a prompt now and then."""
    draw = np.random.default_rng(7)
    for turn in range(rounds):
        batch = int(draw.integers(1, 17))
        context = int(batch * draw.integers(500, 12_000))
        for step in range(30):
            yield batch, context + step * batch, (), 0, 1 if lmcache and step == 20 else 0
        prompt = prompts[turn % len(prompts)]
        if lmcache and turn % 3 == 0:
            hit = prompt // 256 - 1
            yield batch, context, ((hit * 256, prompt - hit * 256),), hit, 0
            continue
        for before in range(0, prompt, 8192):
            n = min(8192, prompt - before)
            yield batch, context, ((before, n),), 0, n // 256 if lmcache else 0
