"""Measured and simulated metrics stand side by side with an honest error."""

import shutil
from pathlib import Path

import pytest

from kvsim.calibration.compare import SHARES, compare_metrics, measured_metrics
from kvsim.calibration.comparison import compare_in_full
from kvsim.calibration.readers.run_folder import MeasuredRun, load_run
from kvsim.errors import CalibrationError
from kvsim.spec import load_scenario

VALIDATION = Path(__file__).parents[2] / "experiments" / "validation"


def test_measured_metrics(run: MeasuredRun) -> None:
    metrics = measured_metrics(run)
    assert metrics["finished_per_s"] == 2.0170
    shares = [metrics[name] for name in SHARES]
    assert all(share is not None for share in shares)
    assert sum(share or 0.0 for share in shares) == pytest.approx(1)
    first_rounds, second_rounds = 17, 16
    prompts = first_rounds * 11031 + second_rounds * 11152
    in_hbm = (first_rounds - 1 + second_rounds - 1) * 1008 + 9904
    assert metrics["hbm_token_share"] == pytest.approx(in_hbm / prompts)
    assert metrics["remote_token_share"] == pytest.approx((11008 + 16 * 10000) / prompts)


def test_errors_are_relative_but_for_shares() -> None:
    table = compare_metrics(
        {"ttft_s_mean": 2.0, "hbm_token_share": 0.5, "ttft_s_p50": 0.0, "ttft_s_p95": None},
        {"ttft_s_mean": 1.5, "hbm_token_share": 0.4, "ttft_s_p50": 1.0, "ttft_s_p95": 1.0},
    )
    assert table["ttft_s_mean"] == {"measured": 2.0, "simulated": 1.5, "error": -0.25}
    assert table["hbm_token_share"]["error"] == pytest.approx(-0.1)
    assert table["ttft_s_p50"]["error"] == 1.0  # measured 0: the difference
    assert table["ttft_s_p95"]["error"] is None


def test_compare_simulates_the_scenario(excerpt: Path) -> None:
    scenario = load_scenario(
        VALIDATION / "cpu40GB_131k_pool__qa10k.yaml", changes={"workload.time": "10s"}
    )
    table = compare_in_full(excerpt, scenario).metrics
    assert list(table)[:2] == ["finished_per_s", "ttft_s_mean"]
    for row in table.values():
        assert row["simulated"] is not None


def test_a_run_without_client_rows_cannot_be_compared(tmp_path: Path, excerpt: Path) -> None:
    shutil.copytree(excerpt, tmp_path / "run")
    (tmp_path / "run" / "client_requests.csv").unlink()
    with pytest.raises(CalibrationError, match="did not come to its end"):
        measured_metrics(load_run(tmp_path / "run"))


@pytest.mark.parametrize("path", sorted(VALIDATION.glob("*.yaml")), ids=lambda path: path.stem)
def test_validation_scenarios_load(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.name == path.stem
    assert scenario.engine.num_gpu_blocks == 8192
    assert scenario.workload.poll == pytest.approx(0.10044)
