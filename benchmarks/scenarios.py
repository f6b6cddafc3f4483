"""The scenarios that kvsim's own speed is measured with."""

from __future__ import annotations

from pathlib import Path

from kvsim.spec import Scenario, load_profile, load_scenario

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
REQUESTS_PER_INSTANCE = 2_400
MAX_INSTANCES = 100
USERS_PER_INSTANCE = 100
USERS_PER_QPS = 160


def storagegrid() -> Scenario:
    """Return 1,200 s of the StorageGRID experiment: CPU and S3 tier, 20,000 tokens of context."""
    return load_scenario(EXPERIMENTS / "storagegrid-one.yaml")


def many_users() -> Scenario:
    """Return 240 users of 10 rounds with prompts of 10,000 tokens, CPU tier and shared files."""
    return load_scenario(EXPERIMENTS / "speed-240-users.yaml")


def thrashing() -> Scenario:
    """Return the scenario of the demo whose run costs most: more context than the tiers hold."""
    return storagegrid().replace(
        {
            "offload.remote": {"profile": "ontap-pnfs-rdma"},
            "workload.user_history_prompt": 20_000,
        }
    )


def growth(num_requests: int) -> Scenario:
    """Return about `num_requests` requests: more instances at first, up to 100, then more time.

    Each instance has the same load, and the shared store grows with them, so that all sizes do the
    same per request.
    """
    instances = min(MAX_INSTANCES, max(2, num_requests // REQUESTS_PER_INSTANCE))
    users = USERS_PER_INSTANCE * instances
    qps = users / USERS_PER_QPS
    store = load_profile("storage", "ontap-pnfs-rdma").model_dump(mode="json")
    for direction in ("read", "write"):
        store[direction]["bandwidth"] *= instances / 2
    return Scenario.from_dict(
        {
            "name": f"growth-{num_requests}",
            "model": "qwen3-8b",
            "gpu": "h100-sxm-80gb",
            "host": "xeon-pcie5",
            "instances": instances,
            "router": "session",
            "offload": {
                "connector": "lmcache_inproc",
                "save_decode_cache": True,
                "cpu": {"capacity": "100GiB"},
                "remote": {"profile": store},
            },
            "workload": {
                "kind": "multi_round_qa",
                "num_users": users,
                "num_rounds": 10,
                "qps": qps,
                "shared_system_prompt": 1_000,
                "user_history_prompt": 2_000,
                "answer_len": 100,
                "time": num_requests / qps * 0.945,  # a little more than qps, as users overlap
                "arrival_jitter": "3ms",
                "poll": "10ms",
            },
        }
    )
