"""Scenarios that several tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

from kvsim.spec import Scenario

settings.register_profile("kvsim", deadline=None)
settings.load_profile("kvsim")


@pytest.fixture
def qa() -> Scenario:
    """Give a two-minute multi-round QA over CPU and object tiers on two instances."""
    return Scenario.from_dict(
        {
            "name": "qa",
            "model": "qwen3-8b",
            "gpu": "a100-40gb",
            "host": "epyc-pcie4",
            "instances": 2,
            "engine": {"num_gpu_blocks": 4_000, "max_model_len": 20_000},
            "offload": {
                "connector": "lmcache_inproc",
                "save_decode_cache": True,
                "cpu": {"capacity": "20GiB"},
                "remote": {"profile": "storagegrid-s3"},
            },
            "workload": {
                "kind": "multi_round_qa",
                "num_users": 8,
                "num_rounds": 10,
                "qps": 2,
                "shared_system_prompt": 1_000,
                "user_history_prompt": 8_000,
                "answer_len": 100,
                "time": 60,
                "arrival_jitter": 0.003,
            },
        }
    )
