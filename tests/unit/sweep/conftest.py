"""A scenario that runs in no time, and what stands in for its runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kvsim.spec.load import load_scenario
from kvsim.spec.scenario import Scenario

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def base() -> Scenario:
    """Load a short run of few users."""
    changes: Mapping[str, Any] = {
        "workload.time": 20,
        "workload.num_users": 3,
        "workload.user_history_prompt": 2_000,
    }
    return load_scenario(ROOT / "experiments" / "storagegrid-one.yaml", changes=changes)
