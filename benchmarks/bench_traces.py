"""Time a trace without time, by policy, and with it: python benchmarks/bench_traces.py TRACE."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import get_args

from kvsim.plan.untimed import untimed_hits
from kvsim.simulate import simulate
from kvsim.spec import load_scenario
from kvsim.workload.trace_hits import HitPolicy, count_hits, references
from kvsim.workload.traces import read_trace

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "mooncake-conversation.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trace", type=Path, help="Mooncake's conversation_trace.jsonl")
    trace = parser.parse_args().trace
    asked = references(read_trace(trace))
    for policy in get_args(HitPolicy):
        begun_s = time.process_time()
        count_hits(asked, policy, asked.num_distinct // 10)
        rate = asked.num_chunks / (time.process_time() - begun_s)
        print(f"{policy:12} {rate / 1e6:6.2f} M chunk references/s")  # noqa: T201
    changes = {"workload.file": str(trace), "offload.remote.profile.write.bandwidth": "10GB/s"}
    scenario = load_scenario(EXPERIMENT, changes=changes)
    print(f"all tiers without time: {untimed_hits(scenario).wall_s:.2f} s")  # noqa: T201
    print(f"all tiers with time: {simulate(scenario).manifest.wall_s:.2f} s")  # noqa: T201


if __name__ == "__main__":
    main()
