"""Scenarios that Hypothesis draws: small, but with every mechanism in reach."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from kvsim.spec import Scenario

GIB = 1 << 30


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Draw a scenario of tens of requests: thrash, preemption, ties, tiers, instances."""
    history = draw(st.sampled_from([0, 300, 1_000, 2_700]))
    answer = draw(st.sampled_from([1, 2, 40, 100, 300]))
    rounds = draw(st.integers(2, 5))
    longest = 400 + history + rounds * (answer + 60)
    connector = draw(st.sampled_from(["none", "lmcache_inproc", "lmcache_inproc"]))
    remote = draw(st.sampled_from([None, "ontap-pnfs-rdma", "storagegrid-s3", "tmpfs-file"]))
    content: dict[str, Any] = {
        "name": "drawn",
        "model": "qwen3-8b",
        "gpu": draw(st.sampled_from(["h100-sxm-80gb", "a100-40gb"])),
        "host": draw(st.sampled_from(["xeon-pcie5", "epyc-pcie4"])),
        "instances": draw(st.integers(1, 3)),
        "router": draw(st.sampled_from(["round_robin", "random", "least_loaded", "session"])),
        "seed": draw(st.integers(0, 3)),
        "engine": {
            "num_gpu_blocks": longest // 16 + draw(st.integers(20, 700)),
            "max_num_batched_tokens": draw(st.sampled_from([64, 512, 2_048, 8_192])),
            "max_num_seqs": draw(st.sampled_from([1, 3, 48])),
            "max_model_len": longest,
        },
        "offload": {"connector": connector},
        "workload": {
            "kind": "multi_round_qa",
            "num_users": draw(st.integers(1, 5)),
            "num_rounds": rounds,
            "qps": draw(st.sampled_from([0.5, 2, 7.3])),
            "shared_system_prompt": draw(st.sampled_from([0, 245, 300])),
            "user_history_prompt": history,
            "answer_len": answer,
            "time": draw(st.sampled_from([4, 15])),
            "arrival_jitter": draw(st.sampled_from([0, 0.003])),
            "disable_ramp_up": draw(st.booleans()),
            "warmup_requests": draw(st.sampled_from([0, 3])),
        },
    }
    if connector != "none":
        content["offload"] |= {
            "save_decode_cache": draw(st.booleans()),
            "min_retrieve_tokens": draw(st.sampled_from([0, 600])),
            "cpu": {
                "capacity": draw(st.sampled_from([0, 12 * 36 << 20, 2 * GIB, 50 * GIB])),
                "eviction": draw(st.sampled_from(["lru", "fifo", "lfu", "mru"])),
            },
        }
        if remote is not None:
            content["offload"]["remote"] = {"profile": remote}
    return Scenario.from_dict(content)
