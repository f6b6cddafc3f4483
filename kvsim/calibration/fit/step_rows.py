"""Which measured times tell how long the GPU worked, and on what.

The log has no GPU clock. A step's end is seen only where the host waited for it: the processing of
its output ("u") came well after the host had launched the next step, or a store, which begins as
soon as its own step is done, began well after its launch. A row is the time between two such
instants over steps that the GPU took back to back, or, after an idle time, from the launch. The
launch of a prefill hides the end of the step before it, so such rows hold two steps: only their sum
is seen. Steps bound by the host are left to the fit of its costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kvsim.calibration.fit.passes import Pass, RunTrace
from kvsim.calibration.fit.robust import Array
from kvsim.compute.step_time import StepTime
from kvsim.spec import EngineSpec, GpuSpec, HostSpec, ModelSpec

FEATURES = ("overhead", "memory", "linear_repetitive", "linear_diverse", "attention")
_MARGIN_S = 0.0004
_EAGER_MARGIN_S = 0.012
_PIECEWISE_MARGIN_S = 0.004
_WARMING_PREFILLS = 12
"""The first big prefills of a server are slow once."""
_BIG_TOKENS = 512
_CLEARLY = 1.8
"""So many launches long, a prefill does not show when in its launch the GPU began."""


@dataclass(slots=True)
class StepRow:
    """One stretch of GPU work between two seen instants."""

    seconds: float
    features: Array
    begin_s: float
    steps: int
    decodes: int
    tokens: int
    context_tokens: int
    longest_context: int
    """Longest context of a chunk, or the mean one of the decodes."""
    has_prefill: bool
    run: str


class StepFeatures:
    """A step as times at the card's peak: multiplied by 1 / efficiency and added, they are G."""

    def __init__(self, model: ModelSpec, gpu: GpuSpec, engine: EngineSpec) -> None:
        perfect = {
            "linear_repetitive": 1.0,
            "linear_diverse": 1.0,
            "attention": 1.0,
            "memory": 1.0,
            "layer_overhead": 0.0,
        }
        peak = gpu.model_copy(update={"efficiency": gpu.efficiency.model_copy(update=perfect)})
        self._peak = StepTime(model, peak, engine, "diverse")
        degree = engine.tensor_parallel_size
        self._layers = float(model.num_hidden_layers)
        self._model = model
        self._bytes_per_s = gpu.hbm_bandwidth * degree
        self._window = model.sliding_window
        windowed = model.sliding_attention_flops_per_token / max(self._window, 1)
        self._pair_s = model.attention_flops_per_pair / (gpu.peak_flops * degree)
        self._window_pair_s = windowed / (gpu.peak_flops * degree)

    def of(self, row: Pass, *, diverse: bool, inverse: Array) -> Array:
        """Give the features; `inverse` says for each chunk whether FLOPs or its KV read bind."""
        tokens = row.tokens
        weights_s = self._model.weights_read_bytes(tokens) / self._bytes_per_s
        memory_s = weights_s + self._peak.context_s(
            row.decodes, row.context_tokens, self._waves(row)
        )
        linear_s = self._peak.base_s(tokens) - weights_s
        attention_s = 0.0
        for before, n in row.chunks:
            flops_s = n * (before + n / 2) * self._pair_s
            if self._window:
                flops_s += n * min(before + n / 2, self._window) * self._window_pair_s
            read_s = self._peak.context_s(1, before + n)
            if flops_s * inverse[4] >= read_s * inverse[1]:
                attention_s += flops_s
            else:
                memory_s += read_s
        repetitive = 0.0 if diverse else linear_s
        return np.array([self._layers, memory_s, repetitive, linear_s - repetitive, attention_s])

    def _waves(self, row: Pass) -> float:
        if row.chunks:
            return 1.0
        mean = row.context_tokens // max(row.decodes, 1)
        return self._peak.waves(row.contexts or (mean,) * row.decodes)


def inverse_efficiencies(gpu: GpuSpec) -> Array:
    """Give the coefficients that a profile's efficiencies mean."""
    e = gpu.efficiency
    return np.array(
        [
            e.layer_overhead,
            1 / e.memory,
            1 / e.linear_repetitive,
            1 / e.linear_diverse,
            1 / e.attention,
        ]
    )


def launch_s(row: Pass, host: HostSpec) -> float:
    """Give the host's time to launch a step, from `launch_begin_s` on."""
    if not row.chunks:
        return host.launch.full_graph
    if row.tokens > host.launch.piecewise_max_tokens:
        return host.launch.eager
    return host.launch.piecewise_graph_after_load if row.loads else host.launch.piecewise_graph


def launch_begin_s(row: Pass) -> float:
    """Give the instant from which a step was launched: after schedule() and its loads."""
    loaded_s = row.loaded_s
    return row.scheduled_s if loaded_s is None else max(loaded_s, row.scheduled_s)


def _margin_s(row: Pass, host: HostSpec) -> float:
    if not row.chunks:
        return _MARGIN_S
    big = row.tokens > host.launch.piecewise_max_tokens
    return _EAGER_MARGIN_S if big else _PIECEWISE_MARGIN_S


def _is_big(row: Pass) -> bool:
    return bool(row.chunks) and row.tokens > _BIG_TOKENS


def _is_last(row: Pass) -> bool:
    """Say whether nothing was left to schedule after a step, so that the host waited for it."""
    if row.next_begin_s is None or row.handed_s is None:
        return False
    return row.handed_s <= row.next_begin_s


def step_rows(
    trace: RunTrace, features: StepFeatures, inverse: Array, host: HostSpec
) -> Iterator[StepRow]:
    """Yield the rows of one run; `inverse` and `host` are the present idea of the costs.

    Notes on each pass when the GPU was done with the step before, which the host's costs need.
    """
    seen_s: float | None = None
    held: list[Pass] = []
    sums = np.zeros(len(FEATURES))
    largest = max((row.tokens for row in trace.passes), default=0)
    warming = _WARMING_PREFILLS
    previous: Pass | None = None
    end_s = -np.inf
    for row in trace.passes:
        at_s = launch_begin_s(row)
        free_s = at_s + launch_s(row, host)
        margin_s = _margin_s(row, host)
        in_a_row = previous is not None and _is_big(row) and _is_big(previous)
        in_a_row = in_a_row and row.tokens < largest
        if previous is None or row.index != previous.index + 1:
            seen_s, held, end_s = None, [], -np.inf
        elif row.older_s is None or row.stores or in_a_row:
            pass  # a big prefill that does not fill its step is launched late after another one
        elif row.older_s > free_s + margin_s:
            # The host waited for the step before this one: its end is seen.
            end_s = row.older_s
            if seen_s is not None and held:
                yield _row(trace, held, sums, end_s - seen_s)
            seen_s, held, sums = end_s, [], np.zeros(len(FEATURES))
        disturbed = row.busy_uploads or (row.after_store and bool(row.chunks))
        if _is_big(row) and warming:
            warming -= 1
            disturbed = True
        own = features.of(row, diverse=trace.diverse, inverse=inverse)
        gpu_s = float(own @ inverse)
        row.gpu_s, row.older_end_s = gpu_s, end_s
        is_idle = at_s + host.launch.graph_start > end_s
        bound_s = max(at_s, end_s) + gpu_s
        if disturbed or (row.chunks and bound_s < free_s + margin_s):
            seen_s, held = None, []  # the host or the puts had a hand in it
        elif is_idle:
            seen_s = at_s if row.chunks else at_s + host.launch.graph_start
            held, sums = [row], own
            if row.chunks and (row.loads or end_s > at_s or gpu_s < _CLEARLY * (free_s - at_s)):
                seen_s, held = None, []  # when the GPU began is not seen, and matters
        elif seen_s is not None:
            held.append(row)
            sums = sums + own
        begun_s = max(end_s, at_s if row.chunks else at_s + host.launch.graph_start)
        end_s = max(begun_s + gpu_s, free_s if row.chunks else -np.inf)
        stored_at_s = row.store_begin_s
        if stored_at_s is not None:
            if stored_at_s > free_s + margin_s:
                if seen_s is not None and held and row.chunks and not trace.remote:
                    yield _row(trace, held, sums, stored_at_s - seen_s)
                end_s = stored_at_s
            seen_s, held = None, []
        elif _is_last(row) and held and seen_s is not None and row.handed_s is not None:
            if row.handed_s > free_s + margin_s:
                yield _row(trace, held, sums, row.handed_s - seen_s)
            seen_s, held, end_s = None, [], row.handed_s
        previous = row


def _row(trace: RunTrace, held: list[Pass], sums: Array, seconds: float) -> StepRow:
    last = held[-1]
    chunk = max((before + n for row in held for before, n in row.chunks), default=0)
    return StepRow(
        seconds=seconds,
        features=sums,
        begin_s=held[0].scheduled_s,
        steps=len(held),
        decodes=last.decodes,
        tokens=max(row.tokens for row in held),
        context_tokens=last.context_tokens,
        longest_context=max(chunk, last.context_tokens // max(last.decodes, 1)),
        has_prefill=chunk > 0,
        run=trace.name,
    )
