"""Instants of a run of decodes: the quick sum equals the passes one by one, to the last bit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvsim.compute.step_time import StepTime
from kvsim.engine.decode_run import DecodeRuns
from kvsim.spec import EngineSpec, load_profile

STEP_TIME = {
    gpu: StepTime(
        load_profile("models", "qwen3-8b"), load_profile("gpus", gpu), EngineSpec(), "repetitive"
    )
    for gpu in ("h100-sxm-80gb", "a100-40gb")
}
HOST = load_profile("hosts", "xeon-pcie5")


@given(
    gpu=st.sampled_from(sorted(STEP_TIME)),
    now_s=st.floats(0, 2_000),
    ahead_s=st.floats(0, 0.03),
    delay_s=st.sampled_from([0.0, 0.004]),
    num_steps=st.integers(1, 60),
    contexts=st.lists(st.integers(1, 30_000), min_size=1, max_size=24),
)
def test_a_run_equals_its_passes(
    gpu: str,
    now_s: float,
    ahead_s: float,
    delay_s: float,
    num_steps: int,
    contexts: list[int],
) -> None:
    gpu_end_s = now_s + ahead_s
    run = DecodeRuns(STEP_TIME[gpu], HOST).run(
        now_s=now_s,
        gpu_end_s=gpu_end_s,
        delay_s=delay_s,
        num_steps=num_steps,
        contexts=contexts,
    )
    want_starts, want_ends = [now_s], []
    before_s = gpu_end_s
    for step in range(num_steps):
        now = [context + step for context in contexts]
        waves = STEP_TIME[gpu].waves(now)
        step_s = STEP_TIME[gpu].step_s(len(now), sum(now), (), waves)
        now_s += HOST.schedule.decode
        gpu_end_s = max(gpu_end_s, now_s + HOST.launch.graph_start) + (step_s + delay_s)
        now_s = max(now_s + HOST.launch.full_graph, before_s) + HOST.update
        before_s = gpu_end_s
        want_starts.append(now_s)
        want_ends.append(gpu_end_s)
    assert [run.start_s(number) for number in range(num_steps + 1)] == want_starts
    assert run.ends == want_ends
