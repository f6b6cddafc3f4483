"""From a fit to a file, to a scenario that names it, to the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvsim.calibration.confidence import confidence
from kvsim.calibration.fit.calibrate import Basis, Calibration, calibrate_traces
from kvsim.calibration.profile_out import write_calibration
from kvsim.cli import main
from kvsim.errors import ConfigError
from kvsim.report.calibration import write_calibration_report
from kvsim.simulate import simulate
from kvsim.spec import CalibrationSpec, EngineSpec, GpuSpec, HostSpec, ModelSpec, Scenario
from tests.calibration.fit.conftest import Bench, serving


@pytest.fixture
def calibration(model: ModelSpec, gpu: GpuSpec, host: HostSpec) -> Calibration:
    bench = Bench(model, gpu, host, diverse=False, noise=0.01)
    trace = bench.play(serving(40, prompts=(2_000, 9_000, 20_000), lmcache=True), "made")
    return calibrate_traces([trace], Basis(model, gpu, host, EngineSpec()), name="made")


def scenario(**changes: object) -> Scenario:
    base = {
        "name": "qa",
        "model": "qwen3-8b",
        "gpu": "h100-sxm-80gb",
        "host": "xeon-pcie5",
        "offload": {"connector": "lmcache_inproc", "cpu": {"capacity": "20GiB"}},
        "workload": {
            "kind": "multi_round_qa",
            "num_users": 4,
            "num_rounds": 5,
            "qps": 2,
            "shared_system_prompt": 1_000,
            "user_history_prompt": 4_000,
            "answer_len": 50,
            "time": 20,
        },
    }
    return Scenario.from_dict({**base, **changes})


def test_a_scenario_takes_the_coefficients(calibration: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "made.yaml"
    write_calibration(calibration.spec, path)
    named = scenario(calibration=str(path))
    found = calibration.spec.coefficients
    assert named.gpu.efficiency.memory == pytest.approx(
        found["gpu.efficiency.memory"].value, rel=1e-5
    )
    assert named.host.load.bandwidth == pytest.approx(found["host.load.bandwidth"].value, rel=1e-5)
    source = named.gpu.source_of("efficiency.memory")
    assert source.kind == "fitted"
    assert "made" in source.how
    assert Scenario.from_dict(named.to_dict()) == named
    changed = named.replace({"gpu.efficiency.memory": 0.5})
    assert changed.gpu.efficiency.memory == 0.5
    assert changed.host == named.host


def test_user_profiles_hold_calibrations(calibration: Calibration, tmp_path: Path) -> None:
    write_calibration(calibration.spec, tmp_path / "calibrated" / "mine.yaml")
    data = scenario().to_dict() | {"calibration": "mine"}
    assert Scenario.from_dict(data, profiles=tmp_path).calibration is not None


def test_an_unknown_calibration_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"no calibration 'h100-qwen3-8c'; did you mean"):
        scenario(calibration="h100-qwen3-8c")


def test_a_coefficient_of_nothing_is_refused(calibration: Calibration, tmp_path: Path) -> None:
    odd = calibration.spec.coefficients["host.update"]
    spec = calibration.spec.model_copy(update={"coefficients": {"bananas.update": odd}})
    write_calibration(spec, tmp_path / "odd.yaml")
    with pytest.raises(ConfigError, match=r"bananas\.update begins with none of"):
        scenario(calibration=str(tmp_path / "odd.yaml"))


def test_confidence(calibration: Calibration) -> None:
    spec = calibration.spec
    inside = scenario()
    assert confidence(inside, spec).verdict == "calibrated"
    assert confidence(simulate(inside), spec).verdict == "calibrated"
    assert confidence(inside).verdict == "extrapolated"
    other = confidence(inside.replace({"gpu": "h200"}), spec)
    assert other.verdict == "extrapolated"
    assert "h200 (measured h100-sxm-80gb)" in str(other)
    longer = inside.replace({"workload.user_history_prompt": 30_000})
    found = confidence(simulate(longer), spec)
    assert found.verdict == "extrapolated"
    assert "context of one request" in {item.quantity for item in found.outside}


def test_little_beyond_the_range_is_partly(calibration: Calibration) -> None:
    run = simulate(scenario())
    steps = run.steps
    most = float((steps["decodes"]).max())
    ranges = {**calibration.spec.ranges, "decodes per step": (0.0, most - 1)}
    spec: CalibrationSpec = calibration.spec.model_copy(update={"ranges": ranges})
    found = confidence(run, spec)
    assert found.verdict in ("partly", "extrapolated")
    assert [item.quantity for item in found.outside] == ["decodes per step"]


def test_report_is_one_offline_page(calibration: Calibration, tmp_path: Path) -> None:
    write_calibration_report(calibration, tmp_path / "made.html")
    text = (tmp_path / "made.html").read_text(encoding="utf-8")
    assert "gpu.efficiency.memory" in text
    assert "What the data cannot tell" in text
    assert 'src="http' not in text


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    excerpt = Path(__file__).parents[2] / "data" / "h100" / "s3_warm_store_excerpt"
    given = scenario(
        offload={"connector": "lmcache_inproc", "remote": {"profile": "s3-stub"}}
    ).to_dict()
    import json

    file = tmp_path / "bench.json"
    file.write_text(json.dumps(given), encoding="utf-8")
    out = tmp_path / "new" / "excerpt.yaml"
    code = main(["calibrate", str(excerpt), "--out", str(out), "--scenario", str(file)])
    assert code == 0
    table = capsys.readouterr().out
    assert "host" in table
    assert "load.bandwidth" in table
    assert max(len(line) for line in table.splitlines() if not line.startswith("-")) <= 80
    assert out.is_file()
    assert out.with_suffix(".html").is_file()
    assert main(["calibrate", str(excerpt), "--out", str(tmp_path / "x.txt")]) == 2
    assert main(["calibrate", str(tmp_path), "--out", str(out), "--scenario", str(file)]) == 2
