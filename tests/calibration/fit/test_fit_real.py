"""The shipped calibration on an excerpt of a real run, and a fit to the excerpt alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kvsim.calibration.fit.calibrate import Basis, calibrate
from kvsim.calibration.fit.passes import trace_run
from kvsim.calibration.fit.step_rows import StepFeatures, inverse_efficiencies, step_rows
from kvsim.calibration.readers.run_folder import load_run
from kvsim.spec import EngineSpec, GpuSpec, HostSpec, ModelSpec, Scenario, load_profile

ROOT = Path(__file__).parents[3]
EXCERPT = ROOT / "tests" / "data" / "h100" / "s3_warm_store_excerpt"
SHARED = Path(os.environ.get("KVSIM_SHARED", ROOT.parent / "shared")) / "data"
RUNS = SHARED / "h100_qwen3_8b"


def test_shipped_calibration_predicts_the_excerpt(model: ModelSpec, host: HostSpec) -> None:
    scenario = Scenario.from_dict(
        {
            "name": "excerpt",
            "model": "qwen3-8b",
            "gpu": "h100-sxm-80gb",
            "host": "xeon-pcie5",
            "calibration": "h100-qwen3-8b",
            "workload": {
                "kind": "multi_round_qa",
                "num_users": 1,
                "num_rounds": 2,
                "qps": 1,
                "shared_system_prompt": 100,
                "user_history_prompt": 100,
                "answer_len": 10,
                "time": 10,
            },
        }
    )
    trace = trace_run(load_run(EXCERPT))
    inverse = inverse_efficiencies(scenario.gpu)
    features = StepFeatures(model, scenario.gpu, EngineSpec())
    rows = list(step_rows(trace, features, inverse, host))
    errors = np.array([1 - float(row.features @ inverse) / row.seconds for row in rows])
    assert len(rows) > 200
    # Its largest batch, 12, is the one that comes out worst of all runs: 1.7 % slow.
    assert np.median(np.abs(errors)) < 0.02
    assert abs(np.median(errors)) < 0.015


def test_fit_to_the_excerpt_alone(model: ModelSpec, gpu: GpuSpec, host: HostSpec) -> None:
    store = load_profile("storage", "s3-stub")
    basis = Basis(model, gpu, host, EngineSpec(), (store,))
    found = calibrate([EXCERPT], basis, name="excerpt")
    coefficients = found.spec.coefficients
    assert coefficients["storage.s3-stub.head"].value == pytest.approx(3.2e-3, rel=0.02)
    assert coefficients["host.load.bandwidth"].value == pytest.approx(49.5e9, rel=0.05)
    assert not any("linear_diverse" in path for path in coefficients)
    assert found.spec.ranges["chunks per remote load"][1] == 43


@pytest.mark.skipif(not RUNS.is_dir(), reason="the full runs are not here (KVSIM_SHARED)")
def test_one_prompt_length_leaves_linear_and_attention_together(
    model: ModelSpec, gpu: GpuSpec, host: HostSpec
) -> None:
    run = RUNS / "gpu_only_131k_pool__qa10k"
    found = calibrate([run], Basis(model, gpu, host, EngineSpec()), name="one").spec.coefficients
    assert not found["gpu.efficiency.attention"].identified
    assert not found["host.request_in.fixed"].identified
    assert found["host.request_in.per_token"].standard_error is None
