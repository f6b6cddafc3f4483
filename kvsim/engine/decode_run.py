"""When the passes of a run of decode steps begin, and when the GPU ends their steps."""

from __future__ import annotations

from itertools import accumulate

from kvsim.compute.step_time import StepTime
from kvsim.spec import HostSpec

_MARGIN_S = 1e-9
"""Far more than the rounding of any instant, far less than any step."""


def decode_times(
    step_time: StepTime,
    host: HostSpec,
    *,
    now_s: float,
    gpu_end_s: float,
    delay_s: float,
    num_steps: int,
    decodes: int,
    context_tokens: int,
) -> tuple[list[float], list[float]]:
    """Return the begins of `num_steps` passes and of the pass after them, and the steps' ends.

    `gpu_end_s` is the end of the step in flight. A pass plans and launches its step, then waits for
    the step before it and hands out its tokens. While the GPU is the slower side, the host does
    nothing but follow: then only the ends need adding up, in the same order and so to the same bit.
    """
    contexts = range(context_tokens, context_tokens + num_steps * decodes, decodes)
    steps_s = step_time.decodes_s(decodes, contexts)
    if delay_s:
        steps_s = [step_s + delay_s for step_s in steps_s]
    schedule_s, update_s = host.schedule.decode, host.update
    launch_s, graph_start_s = host.launch.full_graph, host.launch.graph_start
    host_s = schedule_s + max(launch_s, graph_start_s) + _MARGIN_S
    if now_s + host_s < gpu_end_s and host_s + update_s < steps_s[0]:  # later steps last longer
        ends = list(accumulate(steps_s, initial=gpu_end_s))
        starts = [now_s, *[end_s + update_s for end_s in ends]]
        del starts[-1], ends[0]
        return starts, ends
    starts, ends = [now_s], []
    before_s = gpu_end_s
    for step_s in steps_s:
        now_s += schedule_s
        gpu_end_s = max(gpu_end_s, now_s + graph_start_s) + step_s
        now_s = max(now_s + launch_s, before_s) + update_s
        before_s = gpu_end_s
        starts.append(now_s)
        ends.append(gpu_end_s)
    return starts, ends
