"""One simulation kept with its requests, whose prompts the tables do not hold."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass

from kvsim.metrics.result import RunResult
from kvsim.metrics.slo import SloReport, evaluate, latencies_of, token_gaps
from kvsim.simulate import World
from kvsim.spec.scenario import Scenario
from kvsim.spec.slo import SloSpec
from kvsim.workload.request import Request


@dataclass(frozen=True)
class Trial:
    """A run's result, its requests, and what came of the promise if there was one."""

    result: RunResult
    requests: list[Request]
    slo: SloReport | None
    new_remote_chunks: int
    """Chunks that the remote store did not have at the start."""

    @property
    def hit_rate(self) -> float:
        """Fraction of prompt tokens that some tier had."""
        return float(self.result.summary_dict()["token_hit_rate"] or 0.0)

    @property
    def local_hit_rate(self) -> float:
        """Fraction of prompt tokens that GPU or CPU memory had."""
        summary = self.result.summary_dict()
        hits = float(summary["hit_tokens_hbm"] or 0) + float(summary["hit_tokens_cpu"] or 0)
        prompt = float(summary["prompt_tokens"] or 0)
        return hits / prompt if prompt else 0.0

    @property
    def stable(self) -> bool:
        """Tell whether answers kept up with questions."""
        return bool(self.result.summary_dict()["stable"])

    @property
    def died(self) -> bool:
        """Tell whether an engine stopped for good."""
        return bool(self.result.summary_dict()["died"])


def try_out(scenario: Scenario, slo: SloSpec | None = None) -> Trial:
    """Run a scenario and hold it against a promise."""
    begun_s = time.perf_counter()
    collecting = gc.isenabled()
    gc.disable()  # as simulate(): the world lives to the end
    try:
        world = World(scenario, coalesce=True)
        had = len(world.remote) if world.remote is not None else 0
        world.run()
        result = world.result(begun_s)
    finally:
        if collecting:
            gc.enable()
    has = len(world.remote) if world.remote is not None else 0
    requests = world.recorder.requests
    report = None
    if slo is not None:
        start_s, end_s = result.manifest.start_s, result.manifest.end_s
        report = evaluate(
            slo,
            latencies_of(requests, end_s),
            span_s=end_s - start_s,
            gaps=token_gaps(world.recorder.steps, start_s, end_s),
        )
    return Trial(result, requests, report, new_remote_chunks=has - had)
