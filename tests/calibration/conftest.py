"""Where the excerpts of measured runs lie."""

from pathlib import Path

import pytest

from kvsim.calibration.readers.run_folder import MeasuredRun, load_run

EXCERPT = Path(__file__).parents[1] / "data" / "h100" / "s3_warm_store_excerpt"


@pytest.fixture
def excerpt() -> Path:
    return EXCERPT


@pytest.fixture(scope="session")
def run() -> MeasuredRun:
    return load_run(EXCERPT)
