"""The warning comes where the simulation dies, and only there."""

from pathlib import Path

import pytest

from kvsim.plan.stall import stall_risk
from kvsim.simulate import simulate
from kvsim.spec import Scenario, load_scenario

VALIDATION = Path(__file__).parents[3] / "experiments" / "validation"


@pytest.fixture(scope="module")
def stalled() -> Scenario:
    return load_scenario(VALIDATION / "cpu12GB_s3_stalled__qa10k.yaml")


@pytest.mark.parametrize("context", [4_000, 10_000, 20_000])
@pytest.mark.parametrize("capacity", ["3GiB", "12GiB", "14GiB", "18GiB", "40GiB"])
def test_warns_where_the_engine_dies(stalled: Scenario, capacity: str, context: int) -> None:
    design = stalled.replace(
        {"offload.cpu.capacity": capacity, "workload.user_history_prompt": context}
    )
    risk = stall_risk(design)
    assert risk is not None
    assert risk.can_stall == simulate(design).summary_dict()["died"]
    assert (risk.warning is not None) == risk.can_stall


def test_warning_names_both_rates_and_a_way_out(stalled: Scenario) -> None:
    risk = stall_risk(stalled)
    assert risk is not None
    assert risk.warning is not None
    for words in ("2.958GB/s", "1.037GB/s", "offload.cpu.capacity"):
        assert words in risk.warning
    tiny = stall_risk(stalled.replace({"offload.cpu.capacity": "1GiB"}))
    assert tiny is not None
    assert "cannot hold the longest prompt" in (tiny.warning or "")


@pytest.mark.parametrize(
    "name", ["cpu12GB_fs_131k_pool", "cpu60GB_s3_warm_store", "cpu40GB_131k_pool"]
)
def test_only_an_empty_object_store_is_a_risk(name: str) -> None:
    assert stall_risk(load_scenario(VALIDATION / f"{name}__qa10k.yaml")) is None
