"""When the passes of a run of decode steps begin, and when the GPU ends their steps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from kvsim.compute.step_time import StepTime
from kvsim.spec import HostSpec

_MARGIN_S = 1e-9
"""Far more than the rounding of any instant, far less than any step."""


class DecodeRun:
    """Passes that only decode: when they begin, the pass after them too, and when their steps end.

    `context_tokens` are those of the first step; each later one has `decodes` more. `starts` are
    the first instants at which passes begin; the others begin `update_s` after the end of the step
    that they waited for, the last but one.
    """

    def __init__(
        self,
        starts: list[float],
        ends: list[float],
        update_s: float,
        decodes: int,
        context_tokens: int,
    ) -> None:
        self.ends = ends
        self.decodes = decodes
        self.context_tokens = context_tokens
        self._starts = starts
        self._update_s = update_s

    def start_s(self, number: int) -> float:
        """Return when a pass begins, 0 to the number of passes: the one after them too."""
        if number < len(self._starts):
            return self._starts[number]
        return self.ends[number - 2] + self._update_s

    def begun(self, now_s: float) -> int:
        """Count the passes that began before an instant."""
        if self.start_s(len(self.ends) - 1) < now_s:  # as mostly
            return len(self.ends)
        return bisect_left(range(len(self.ends)), now_s, key=self.start_s)

    def next_start_s(self, now_s: float) -> float:
        """Return when the first pass after the first begins that an arrival now would find."""
        passes = range(len(self.ends) + 1)
        return self.start_s(bisect_left(passes, now_s, lo=1, key=self.start_s))


class DecodeRuns:
    """Works out runs of decodes on one host and GPU."""

    def __init__(self, step_time: StepTime, host: HostSpec) -> None:
        launch = host.launch
        self._step_time = step_time
        self._schedule_s = host.schedule.decode
        self._launch_s = launch.full_graph
        self._graph_start_s = launch.graph_start
        self._update_s = host.update
        self._launched_s = self._schedule_s + max(self._launch_s, self._graph_start_s) + _MARGIN_S

    def run(
        self,
        *,
        now_s: float,
        gpu_end_s: float,
        delay_s: float,
        num_steps: int,
        contexts: Sequence[int],
    ) -> DecodeRun:
        """Work out a run of `num_steps` passes over decodes after `contexts` tokens each.

        `gpu_end_s` is the end of the step in flight. A pass plans and launches its step, then waits
        for the step before it and hands out its tokens. While the GPU is the slower side, the host
        does nothing but follow: then only the ends need adding up, in the same order and so to the
        same bit.
        """
        steps_s = self._step_time.decodes_s(contexts, num_steps)
        if delay_s:
            steps_s = [step_s + delay_s for step_s in steps_s]
        launched_s, update_s = self._launched_s, self._update_s
        starts: list[float] = [now_s]
        ends: list[float] = []
        gpu_bound = launched_s + update_s < min(steps_s)
        for number, step_s in enumerate(steps_s):
            if gpu_bound and now_s + launched_s < gpu_end_s:
                starts.append(gpu_end_s + update_s)
                for later_s in steps_s[number:]:
                    gpu_end_s += later_s
                    ends.append(gpu_end_s)
                break
            now_s += self._schedule_s
            before_s, gpu_end_s = gpu_end_s, max(gpu_end_s, now_s + self._graph_start_s) + step_s
            now_s = max(now_s + self._launch_s, before_s) + update_s
            starts.append(now_s)
            ends.append(gpu_end_s)
        return DecodeRun(starts, ends, update_s, len(contexts), sum(contexts))
