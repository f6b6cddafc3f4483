"""The errors of the coefficients become intervals of the figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kvsim.calibration.uncertainty import draw_coefficients, prediction_intervals
from kvsim.cli import main
from kvsim.errors import ConfigError
from kvsim.spec import CalibrationSpec, Coefficient, Scenario, load_scenario

VALIDATION = Path(__file__).parents[2] / "experiments" / "validation"
BENCH = VALIDATION / "cpu40GB_131k_pool__qa10k.yaml"
FILES = VALIDATION / "cpu12GB_fs_131k_pool__qa10k.yaml"
CALIBRATED = ["--set", "calibration=h100-qwen3-8b", "--set", "workload.time=15"]
Capture = pytest.CaptureFixture[str]

MEMORY, LINEAR = "gpu.efficiency.memory", "gpu.efficiency.linear_repetitive"
LAUNCH, SLOWER = "host.launch.eager", "host.put_interference.launch"


def coefficient(value: float, unit: str, error: float | None = None) -> Coefficient:
    return Coefficient(value=value, unit=unit, standard_error=error, count=9, data="made up")


def made_up(**changes: Any) -> CalibrationSpec:
    return CalibrationSpec(
        **{
            "name": "made-up",
            "date": "2026-01-01",
            "gpu": "h100-sxm-80gb",
            "model": "qwen3-8b",
            "host": "xeon-pcie5",
            "runs": ("run",),
            "coefficients": {
                MEMORY: coefficient(0.9, "of peak", 0.09),
                LINEAR: coefficient(0.7, "of peak", 0.07),
                LAUNCH: coefficient(0.03, "s", 0.003),
                SLOWER: coefficient(1.1, "factor", 0.5),
                "host.launch.full_graph": coefficient(0.003, "s"),
                "storage.s3-stub.head": coefficient(0.003, "s", 0.001),
            },
            "ranges": {},
            "correlated": (MEMORY, LINEAR),
            "covariance": ((0.01, -0.008), (-0.008, 0.01)),
            **changes,
        }
    )


def calibrated(tmp_path: Path, spec: CalibrationSpec, **changes: Any) -> Scenario:
    path = tmp_path / "made-up.yaml"
    path.write_text(spec.model_dump_json(), encoding="utf-8")
    return load_scenario(BENCH, changes={"calibration": str(path), **changes})


def test_draws_follow_errors_and_covariance_and_stay_physical(tmp_path: Path) -> None:
    scenario = calibrated(tmp_path, made_up())
    drawn = pd.DataFrame(draw_coefficients(scenario, 2_000))
    # Without an error nothing is drawn; without the store neither are its coefficients.
    assert set(drawn) == {MEMORY, LINEAR, LAUNCH, SLOWER}
    assert drawn[MEMORY].max() <= 1
    assert (drawn > 0).all(axis=None)
    assert drawn[SLOWER].min() >= 1
    assert drawn[LAUNCH].mean() == pytest.approx(0.03, rel=0.01)
    assert drawn[LAUNCH].std() == pytest.approx(0.003, rel=0.06)
    logs = np.log(drawn[[MEMORY, LINEAR]])
    assert logs.corr().loc[MEMORY, LINEAR] < -0.5
    assert logs[LINEAR].std() < 0.1 * 1.05  # cut where memory would beat its peak


def test_a_covariance_without_limits_in_the_way_is_recovered(tmp_path: Path) -> None:
    covariance = ((1e-4, 8e-5), (8e-5, 1e-4))
    drawn = pd.DataFrame(
        draw_coefficients(calibrated(tmp_path, made_up(covariance=covariance)), 4_000)
    )
    logs = np.log(drawn[[MEMORY, LINEAR]])
    assert logs.cov().to_numpy() == pytest.approx(np.array(covariance), rel=0.1)
    assert np.exp(logs.mean())[MEMORY] == pytest.approx(0.9, rel=0.001)


def test_a_line_is_drawn_with_its_correlation(tmp_path: Path) -> None:
    fixed, rate = "host.load.fixed", "host.load.bandwidth"
    slope = coefficient(5e10, "B/s", 1e9)
    line = {
        fixed: coefficient(1e-3, "s", 1e-4),
        rate: slope.model_copy(update={"moves_with": fixed, "correlation": 0.95}),
    }
    spec = made_up(coefficients=line, correlated=(), covariance=())
    drawn = pd.DataFrame(draw_coefficients(calibrated(tmp_path, spec), 2_000))
    assert drawn.corr().loc[fixed, rate] == pytest.approx(0.95, abs=0.01)
    assert drawn[rate].std() == pytest.approx(1e9, rel=0.06)
    assert drawn[fixed].mean() == pytest.approx(1e-3, rel=0.01)


def test_a_draw_does_not_depend_on_how_many_there_are_and_hand_set_keys_stay(
    tmp_path: Path,
) -> None:
    scenario = calibrated(tmp_path, made_up())
    assert draw_coefficients(scenario, 5) == draw_coefficients(scenario, 9)[:5]
    by_hand = scenario.replace({MEMORY: 0.5})
    for mine, others in zip(
        draw_coefficients(by_hand, 5), draw_coefficients(scenario, 5), strict=True
    ):
        assert MEMORY not in mine
        assert mine[LAUNCH] == others[LAUNCH]
    other_seed = scenario.replace({"seed": 1})
    assert draw_coefficients(other_seed, 5) != draw_coefficients(scenario, 5)


def test_the_coefficients_of_the_store_in_use_are_drawn() -> None:
    scenario = load_scenario(FILES, changes={"calibration": "h100-qwen3-8b"})
    (drawn,) = draw_coefficients(scenario, 1)
    assert drawn["offload.remote.profile.stat"] > 0
    assert not any("profile.head" in path for path in drawn)
    replaced = scenario.replace(drawn)
    assert replaced.gpu.efficiency.memory == drawn[MEMORY] != scenario.gpu.efficiency.memory


def test_errors_too_large_to_be_physical_are_refused(tmp_path: Path) -> None:
    beyond = {path: coefficient(1.0, "of peak", 0.1) for path in (MEMORY, LINEAR)}
    opposed = ((0.01, -0.01), (-0.01, 0.01))  # one of the two always exceeds its peak
    scenario = calibrated(tmp_path, made_up(coefficients=beyond, covariance=opposed))
    with pytest.raises(ConfigError, match="hardly a draw of gpu"):
        draw_coefficients(scenario, 5)


def test_without_errors_nothing_can_be_drawn(tmp_path: Path) -> None:
    only = {LAUNCH: coefficient(0.03, "s")}
    scenario = calibrated(tmp_path, made_up(coefficients=only, correlated=(), covariance=()))
    with pytest.raises(ConfigError, match=r"^calibration made-up: no coefficient"):
        draw_coefficients(scenario, 1)


def test_intervals_are_quantiles_of_the_draws() -> None:
    draws = [{"x": float(n), "n": n, "ok": n < 50, "none": None, "word": "a"} for n in range(101)]
    frame = prediction_intervals({"x": 40.0, "n": 40, "ok": True, "none": None, "word": "a"}, draws)
    rows = frame.set_index("metric")
    assert [*rows.index] == ["x", "n", "ok", "none"]
    assert [*rows.loc["x"]] == pytest.approx([40.0, 50.0, 2.5, 97.5])
    assert rows.loc["ok", "mean"] == pytest.approx(50 / 101)
    assert rows.loc["none"].isna().all()


def test_the_interval_widens_with_the_errors_of_what_it_rests_on(tmp_path: Path) -> None:
    from kvsim.sweep.design import expand
    from kvsim.sweep.execute import execute

    widths = []
    for scale in (1.0, 3.0):
        spec = made_up(
            coefficients={MEMORY: coefficient(0.6, "of peak", 0.01 * scale)},
            correlated=(),
            covariance=(),
        )
        scenario = calibrated(tmp_path, spec, **{"workload.time": 10})
        setups = {str(n): change for n, change in enumerate(draw_coefficients(scenario, 20))}
        runs = [
            outcome.summary or {} for outcome in execute(expand(scenario, setups=setups), jobs=1)
        ]
        row = prediction_intervals(runs[0], runs).set_index("metric").loc["tpot_s_mean"]
        widths.append(row["high"] - row["low"])
    assert widths[1] == pytest.approx(3 * widths[0], rel=0.2)


def test_the_command_prints_and_saves_intervals(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "draws"
    arguments = ["run", str(BENCH), *CALIBRATED, "--uncertainty", "20"]
    assert main([*arguments, "--json", "--out", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    found = told["metrics"]["ttft_s_mean"]
    assert found["low"] < found["mean"] < found["high"]
    assert found["low"] < found["fitted"] < found["high"]
    assert json.loads((out / "summary.json").read_text(encoding="utf-8")) == told
    runs = pd.read_parquet(out / "runs.parquet")
    assert len(runs) == 21  # the fitted values, then the draws
    assert runs["setup"][0] == "fitted"
    assert runs[MEMORY].isna().sum() == 1
    assert runs["ttft_s_mean"][1:].quantile(0.975) == pytest.approx(found["high"])
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "ttft_s_mean" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_promises_of_draws_are_judged(capsys: Capture) -> None:
    arguments = ["run", str(BENCH), *CALIBRATED, "--uncertainty", "20", "--slo"]
    assert main([*arguments, "ttft:p99<20s"]) == 0
    assert "kept in 20 of 20 draws" in capsys.readouterr().out
    assert main([*arguments, "ttft:mean<1us"]) == 3
    assert "kept in 0 of 20 draws" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--uncertainty", "20"], "add --set calibration=h100-qwen3-8b"),
        (["--uncertainty", "20", "--seeds", "3"], "leave out --seeds"),
        (["--uncertainty", "20", "--no-time"], "leave out --uncertainty"),
        (["--uncertainty", "1"], "20"),
    ],
)
def test_what_cannot_be_combined_is_one_line(more: list[str], words: str, capsys: Capture) -> None:
    assert main(["run", str(BENCH), *more]) == 2
    error = capsys.readouterr().err
    assert words in error
