"""One small valid scenario as plain data."""

from typing import Any

import pytest


@pytest.fixture
def plain() -> dict[str, Any]:
    return {
        "name": "small",
        "model": "qwen3-8b",
        "gpu": "h100-sxm-80gb",
        "host": "xeon-pcie5",
        "instances": 2,
        "engine": {"gpu_memory_utilization": 0.9},
        "offload": {
            "connector": "lmcache_inproc",
            "save_decode_cache": True,
            "cpu": {"capacity": "100GiB"},
            "remote": {"profile": "storagegrid-s3", "client": {"uploads": 3}},
        },
        "workload": {
            "kind": "multi_round_qa",
            "num_users": 15,
            "num_rounds": 20,
            "qps": 2,
            "shared_system_prompt": 1000,
            "user_history_prompt": 20000,
            "answer_len": 100,
            "time": "1200s",
        },
        "slo": {"ttft": "2s", "tpot": "50ms"},
    }
