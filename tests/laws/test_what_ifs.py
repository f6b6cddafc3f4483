"""What a change of one thing must and must not do."""

from __future__ import annotations

import pytest

from kvsim.simulate import simulate
from kvsim.spec import Scenario

CHUNK = 36 << 20


def test_cpu_memory_changes_ttft(qa: Scenario) -> None:
    small, large = (
        simulate(qa.replace({"offload.remote": None, "offload.cpu.capacity": size})).summary_dict()
        for size in (CHUNK, 1 << 40)
    )
    assert large["ttft_s_mean"] < 0.8 * small["ttft_s_mean"]
    assert large["hit_tokens_cpu"] > 0
    assert large["computed_tokens"] < small["computed_tokens"]


def test_a_shared_tier_saves_what_another_instance_has_computed(qa: Scenario) -> None:
    private = simulate(qa.replace({"offload.remote": None})).summary_dict()
    shared = simulate(qa).summary_dict()
    assert shared["hit_tokens_remote"] > 0
    assert shared["recomputed_elsewhere_tokens"] < private["recomputed_elsewhere_tokens"] / 5


@pytest.mark.parametrize("profile", ["storagegrid-s3", "ontap-pnfs-rdma"])
def test_a_slow_store_can_hurt(qa: Scenario, profile: str) -> None:
    """Offload loads what it finds, however slow that is: it must be able to lose."""
    without = simulate(qa.replace({"offload.remote": None})).summary_dict()
    slow = qa.replace({"offload.remote.profile": profile})
    slow = slow.replace({"offload.remote.profile.read.bandwidth": "300MB/s"})
    assert simulate(slow).summary_dict()["ttft_s_mean"] > 1.5 * without["ttft_s_mean"]


def test_sticky_sessions_compute_nothing_twice(qa: Scenario) -> None:
    sticky = simulate(qa.replace({"router": "session", "offload.remote": None})).summary_dict()
    turns = simulate(qa.replace({"offload.remote": None})).summary_dict()
    # The shared system prompt is still computed once on each instance.
    assert sticky["recomputed_elsewhere_tokens"] <= 1_011
    assert turns["recomputed_elsewhere_tokens"] > 20 * 1_011


def test_puts_that_hold_all_cpu_memory_kill_an_object_client(qa: Scenario) -> None:
    died = qa.replace(
        {
            "offload.cpu.capacity": 40 * CHUNK,
            "offload.remote.profile.write.bandwidth": "200MB/s",
            "workload.user_history_prompt": 6_000,
        }
    )
    summary = simulate(died).summary_dict()
    assert summary["died"] is True
    assert summary["stable"] is False
    assert summary["failed"] > 0
