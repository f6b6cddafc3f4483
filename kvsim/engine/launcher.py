"""Steps on their way to the GPU: when the host is free again, and when the GPU ends them."""

from __future__ import annotations

from kvsim.compute.step_time import StepTime
from kvsim.engine.sequence import Step
from kvsim.spec import LaunchCost, PutInterference


class Launcher:
    """Launch steps on one GPU, which takes them one after another."""

    def __init__(self, step_time: StepTime, cost: LaunchCost) -> None:
        self.gpu_free_s = 0.0
        """When the GPU ends the last step that it was given."""
        self._step_time = step_time
        self._full_graph_s = cost.full_graph
        self._graph_start_s = cost.graph_start
        self._piecewise_graph_s = cost.piecewise_graph
        self._piecewise_graph_after_load_s = cost.piecewise_graph_after_load
        self._piecewise_max_tokens = cost.piecewise_max_tokens
        self._eager_s = cost.eager

    def launch(
        self, step: Step, now_s: float, interference: PutInterference, delay_s: float
    ) -> float:
        """Hand a step to the GPU, note its end there, and return when the host is free again."""
        step_time, chunks, waves = self._step_time, step.chunks, 1.0
        if step_time.has_waves and not chunks:
            waves = step_time.waves([sequence.num_computed - 1 for sequence in step.sampled])
        gpu_s = step_time.step_s(step.decodes, step.context_tokens, chunks, waves) + delay_s
        if not chunks:
            begin_s = max(self.gpu_free_s, now_s + self._graph_start_s)
            step.gpu_end_s = self.gpu_free_s = begin_s + gpu_s
            return now_s + self._full_graph_s
        tokens = step.decodes + sum([n for _, n in chunks])
        if tokens > self._piecewise_max_tokens:
            launch_s, factor = self._eager_s, interference.launch
        else:
            launch_s = self._piecewise_graph_s
            if step.loads:
                launch_s = self._piecewise_graph_after_load_s
            factor = interference.piecewise_launch
        launched_s = now_s + launch_s * factor
        step.gpu_end_s = self.gpu_free_s = max(max(self.gpu_free_s, now_s) + gpu_s, launched_s)
        return launched_s
