"""Logs written by the model with known costs give the costs back."""

from __future__ import annotations

import pytest

from kvsim.calibration.fit.calibrate import Basis, calibrate_traces
from kvsim.calibration.fit.step import fit_step
from kvsim.spec import EngineSpec, GpuSpec, HostSpec, ModelSpec
from tests.calibration.fit.conftest import Bench, serving

TRUE = {
    "layer_overhead": 45e-6,
    "memory": 0.88,
    "linear_repetitive": 0.70,
    "linear_diverse": 0.60,
    "attention": 0.55,
}
PROMPTS = (1_500, 3_000, 6_000, 11_000, 16_000, 24_000, 32_000)


@pytest.fixture
def other_gpu(gpu: GpuSpec) -> GpuSpec:
    return gpu.model_copy(update={"efficiency": gpu.efficiency.model_copy(update=TRUE)})


@pytest.fixture
def other_host(host: HostSpec) -> HostSpec:
    data = host.model_dump()
    data["update"] = 250e-6
    data["launch"] |= {"full_graph": 2.6e-3, "eager": 40e-3, "piecewise_graph": 12e-3}
    data["launch"] |= {"piecewise_graph_after_load": 11e-3, "load_prepare": 5e-3}
    data["load"] = {"fixed": 200e-6, "bandwidth": 45e9}
    data["store"] = {"fixed": 600e-6, "bandwidth": 42e9}
    return HostSpec.model_validate(data)


def test_every_coefficient_within_two_percent(
    model: ModelSpec, gpu: GpuSpec, host: HostSpec, other_gpu: GpuSpec, other_host: HostSpec
) -> None:
    qa = Bench(model, other_gpu, other_host, diverse=False, noise=0.01)
    micro = Bench(model, other_gpu, other_host, diverse=True, noise=0.01)
    traces = [
        qa.play(serving(150, prompts=PROMPTS, lmcache=False), "gpu"),
        qa.play(serving(150, prompts=PROMPTS, lmcache=True), "cpu"),
        micro.play(serving(150, prompts=PROMPTS, lmcache=False), "micro"),
    ]
    basis = Basis(model, gpu, host, EngineSpec())
    found = calibrate_traces(traces, basis, name="synthetic").spec.coefficients
    expected = {f"gpu.efficiency.{name}": value for name, value in TRUE.items()}
    expected |= {
        "host.update": 250e-6,
        "host.schedule.decode": other_host.schedule.decode,
        "host.launch.full_graph": 2.6e-3,
        "host.launch.eager": 40e-3,
        "host.launch.piecewise_graph_after_load": 11e-3,
        "host.load.bandwidth": 45e9,
        "host.store.bandwidth": 42e9,
        "host.store.fixed": 600e-6,
    }
    for path, value in expected.items():
        assert found[path].value == pytest.approx(value, rel=0.02), path
    # The log's stamps are whole milliseconds, which this one is read from.
    assert found["host.launch.load_prepare"].value == pytest.approx(5e-3, abs=0.3e-3)
    assert found["gpu.efficiency.memory"].residual == pytest.approx(0.006, abs=0.004)


def test_a_fit_is_reproducible(
    model: ModelSpec, gpu: GpuSpec, host: HostSpec, other_gpu: GpuSpec
) -> None:
    bench = Bench(model, other_gpu, host, diverse=False, noise=0.02)
    trace = bench.play(serving(40, prompts=PROMPTS, lmcache=False), "gpu")
    basis = Basis(model, gpu, host, EngineSpec())
    one = calibrate_traces([trace], basis, name="x").spec
    assert one == calibrate_traces([trace], basis, name="x").spec


def test_one_prompt_size_cannot_tell_linear_layers_from_attention(
    model: ModelSpec, gpu: GpuSpec, host: HostSpec, other_gpu: GpuSpec
) -> None:
    bench = Bench(model, other_gpu, host, diverse=False, noise=0.02)
    trace = bench.play(serving(120, prompts=(8_192,), lmcache=False), "gpu")
    _, _, found = fit_step([trace], model, gpu, EngineSpec(), host)
    linear = found.coefficients["gpu.efficiency.linear_repetitive"]
    assert not linear.identified
    assert "attention" in linear.note
    assert any("linear_diverse: no run shows it" in note for note in found.notes)
    assert "gpu.efficiency.linear_diverse" not in found.coefficients


def test_what_no_run_shows_is_said_and_held(model: ModelSpec, gpu: GpuSpec, host: HostSpec) -> None:
    bench = Bench(model, gpu, host, diverse=False)
    trace = bench.play(serving(20, prompts=PROMPTS, lmcache=False), "gpu")
    found = calibrate_traces([trace], Basis(model, gpu, host, EngineSpec()), name="x")
    assert not any(path.startswith("host.store") for path in found.spec.coefficients)
    assert any(note.startswith("host.store.fixed: 0 measurements") for note in found.findings.notes)
