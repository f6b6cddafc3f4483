"""Scenarios that Hypothesis draws: small, but with every mechanism in reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from hypothesis import strategies as st

from kvsim.spec import Scenario
from kvsim.spec.offload import EvictionName
from kvsim.spec.routing import RouterName

GIB = 1 << 30
CHUNK_BYTES = 36 << 20
"""Of 256 tokens of the drawn model."""


@st.composite
def cpu_tiers(draw: st.DrawFn, capacities: Sequence[int]) -> dict[str, Any]:
    """Draw a CPU tier of one of these sizes."""
    return {
        "capacity": draw(st.sampled_from(capacities)),
        "eviction": draw(st.sampled_from(get_args(EvictionName))),
        "ttl": 5,
        "admission": draw(st.sampled_from(["all", "all", "second_hit"])),
    }


@st.composite
def tenants(
    draw: st.DrawFn, *, cpu: bool, remote: bool, limited: bool, most_reserved: float
) -> dict[str, Any]:
    """Draw two or three tenants with parts of the tiers that exist; many quotas are few chunks."""
    parts = st.sampled_from([None, None, 0.1, most_reserved])
    quotas = st.sampled_from([None, 0, CHUNK_BYTES, 3 * CHUNK_BYTES, 0.3])
    found: dict[str, Any] = {}
    for name in ("a", "b", "c")[: draw(st.integers(2, 3))]:
        found[name] = {
            "share": draw(st.sampled_from([1, 3])),
            "priority": draw(st.sampled_from([0, 0, 5])),
        }
        if cpu:
            found[name] |= {"cpu_quota": draw(quotas), "cpu_reserved": draw(parts)}
        if remote and limited:
            found[name] |= {"remote_quota": draw(quotas), "remote_reserved": draw(parts)}
    return found


def share_out(draw: st.DrawFn, content: dict[str, Any], most_reserved: float = 0.3) -> None:
    """Limit the store of a scenario and divide it among tenants, or do neither."""
    offload = content.get("offload", {})
    remote = offload.get("remote")
    if remote is not None and draw(st.booleans()):
        remote["capacity"] = draw(st.sampled_from(["800MiB", "2GiB"]))
        remote["eviction"] = draw(st.sampled_from(get_args(EvictionName)))
        remote["ttl"] = 5
    content["engine"]["scheduling_policy"] = draw(st.sampled_from(["fcfs", "fcfs", "priority"]))
    if draw(st.booleans()):
        content["tenants"] = draw(
            tenants(
                cpu="cpu" in offload,
                remote=remote is not None,
                limited=remote is not None and "capacity" in remote,
                most_reserved=most_reserved,
            )
        )


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
        "router": draw(st.sampled_from(get_args(RouterName))),
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
            "cpu": draw(cpu_tiers([0, 12 * CHUNK_BYTES, 2 * GIB, 50 * GIB])),
        }
        if remote is not None:
            content["offload"]["remote"] = {"profile": remote}
    share_out(draw, content)
    return Scenario.from_dict(content)


def small_lengths(median: int, most: int) -> dict[str, Any]:
    return {"median": median, "sigma": 0.7, "least": 1, "most": most}


@st.composite
def made_up_workloads(
    draw: st.DrawFn, kinds: Sequence[str] = ("agentic", "rag", "chat")
) -> dict[str, Any]:
    """Draw agents, questions or chats, few and short."""
    kind = draw(st.sampled_from(kinds))
    workload: dict[str, Any] = {
        "kind": kind,
        "mode": draw(st.sampled_from(["open", "closed"])),
        "arrivals": draw(
            st.sampled_from(
                [
                    {"kind": "poisson", "rate": 0.8},
                    {"kind": "gamma", "rate": 2, "cv": 3},
                    {"kind": "markov", "rate": 1, "burst_factor": 8, "burst": 1, "calm": 5},
                    {"kind": "diurnal", "rate": 1, "amplitude": 0.9, "period": 10},
                ]
            )
        ),
        "duration": 8,
        "hash_tokens": draw(st.sampled_from([16, 256])),
        "answers": draw(st.sampled_from(["returned", "private"])),
        "shared_prompt": draw(st.sampled_from([200, 600])),
        "answer": small_lengths(40, 200),
    }
    if kind == "rag":
        workload |= {
            "documents": 4,
            "document": small_lengths(600, 1_500),
            "documents_per_prompt": draw(st.integers(1, 2)),
            "question": small_lengths(50, 200),
        }
    elif kind == "chat":
        workload |= {
            "rounds_mean": 2,
            "first_prompt": small_lengths(300, 900),
            "question": small_lengths(100, 300),
            "pause": {"median": 2, "sigma": 1, "most": 10},
            "max_prompt": 3_500,
        }
    else:
        workload |= {
            "turns": small_lengths(3, 6),
            "first_prompt": small_lengths(700, 1_500),
            "resumed_chance": draw(st.sampled_from([0, 0.5])),
            "resumed_turns": small_lengths(2, 4),
            "resumed_prompt": small_lengths(1_500, 2_500),
            "opening_turns": draw(st.integers(0, 2)),
            "opening_growth": small_lengths(300, 800),
            "window": draw(st.sampled_from([None, 1_800])),
            "growth": small_lengths(200, 500),
            "tool_pause": {"median": 1, "sigma": 1, "least": 0.1, "most": 3},
            "user_pause": {"median": 5, "sigma": 1, "most": 20},
            "rewrite_chance": 0.3,
            "rewrite_keeps": 400,
            "max_prompt": 3_500,
        }
    return workload


@st.composite
def replayed_scenarios(
    draw: st.DrawFn, workloads: st.SearchStrategy[dict[str, Any]] | None = None
) -> Scenario:
    """Draw a small system under a replayed or made-up workload."""
    workload = draw(workloads if workloads is not None else made_up_workloads())
    remote = draw(st.sampled_from([None, "ontap-pnfs-rdma", "storagegrid-s3"]))
    content: dict[str, Any] = {
        "name": "drawn",
        "model": "qwen3-8b",
        "gpu": "a100-40gb",
        "host": "xeon-pcie5",
        "instances": draw(st.integers(1, 3)),
        "router": draw(st.sampled_from(get_args(RouterName))),
        "seed": draw(st.integers(0, 3)),
        "engine": {
            "num_gpu_blocks": 4_096 // 16 + draw(st.integers(20, 700)),
            "max_num_batched_tokens": draw(st.sampled_from([512, 2_048])),
            "max_num_seqs": draw(st.sampled_from([3, 48])),
            "max_model_len": 4_096,
        },
        "workload": workload,
    }
    if draw(st.booleans()):
        content["offload"] = {
            "connector": "lmcache_inproc",
            "save_decode_cache": draw(st.booleans()),
            "cpu": draw(cpu_tiers([20 * CHUNK_BYTES, 2 * GIB])),
        }
        if remote is not None:
            content["offload"]["remote"] = {"profile": remote}
    # Beside what two others reserve the longest prompt has room: nobody dies of a reserve.
    share_out(draw, content, most_reserved=0.1)
    return Scenario.from_dict(content)


@st.composite
def tight_quotas(draw: st.DrawFn) -> Scenario:
    """Draw questions on two documents from tenants that may keep fewer chunks than they load.

    One of them has no quota, so that the store has what the others load.
    """
    workload = draw(made_up_workloads(["rag"])) | {"documents": 2}
    scenario = draw(replayed_scenarios(st.just(workload)))
    profile = draw(st.sampled_from(["ontap-pnfs-rdma", "storagegrid-s3"]))
    quotas = st.sampled_from([0, CHUNK_BYTES, 3 * CHUNK_BYTES])
    return scenario.replace(
        {
            "instances": draw(st.integers(2, 3)),
            "router": draw(st.sampled_from(["round_robin", "random"])),
            "offload": {
                "connector": "lmcache_inproc",
                "cpu": draw(cpu_tiers([20 * CHUNK_BYTES, 2 * GIB])),
                "remote": {"profile": profile},
            },
            "tenants": {
                "a": {},
                "b": {"cpu_quota": draw(quotas)},
                "c": {"cpu_quota": draw(quotas)},
            },
        }
    )
