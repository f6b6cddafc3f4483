"""Sampled designs fill their ranges, keep the kinds of their numbers, and repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvsim.errors import ConfigError
from kvsim.spec.scenario import Scenario
from kvsim.spec.space import AxisSpec, reads_bytes
from kvsim.sweep.design import SweepSpec, expand, load_sweep
from kvsim.sweep.sample import SampleSpec, draw

RANGES: dict[str, Any] = {
    "workload.qps": {"low": 0.5, "high": 4},
    "offload.cpu.capacity": {"low": "20GiB", "high": "200GiB", "scale": "log"},
    "instances": {"low": 1, "high": 4},
    "router": {"choices": ["round_robin", "session"]},
    "offload.chunk_tokens": [128, 256],
    "workload.user_history_prompt": {"low": 1_000, "high": 5_000, "step": 500},
}


def sample(**options: Any) -> SampleSpec:
    return SampleSpec.model_validate({"ranges": RANGES, **options})


@pytest.mark.parametrize("method", ["latin_hypercube", "sobol", "random"])
def test_points_lie_in_their_ranges_and_are_of_their_kind(method: str) -> None:
    points = draw(sample(method=method, points=32))
    assert len(points) == 32
    assert all(isinstance(p["workload.qps"], float) for p in points)
    assert all(0.5 <= p["workload.qps"] <= 4 for p in points)
    sizes = [p["offload.cpu.capacity"] for p in points]
    assert all(isinstance(size, int) and 20 * 2**30 <= size <= 200 * 2**30 for size in sizes)
    assert {p["instances"] for p in points} == {1, 2, 3, 4}
    assert {p["router"] for p in points} == {"round_robin", "session"}
    assert {p["offload.chunk_tokens"] for p in points} == {128, 256}
    assert all(p["workload.user_history_prompt"] % 500 == 0 for p in points)


@pytest.mark.parametrize("method", ["latin_hypercube", "sobol", "random"])
def test_a_seed_gives_its_points(method: str) -> None:
    assert draw(sample(method=method, points=8)) == draw(sample(method=method, points=8))
    assert draw(sample(method=method, points=8)) != draw(sample(method=method, points=8, seed=1))


@given(st.integers(1, 40), st.integers(0, 5))
def test_a_latin_hypercube_has_one_point_in_each_part(points: int, seed: int) -> None:
    spec = SampleSpec(points=points, seed=seed, ranges={"x": {"low": 0.0, "high": 1.0}})  # type: ignore[dict-item]
    parts = sorted(int(point["x"] * points * (1 - 1e-5)) for point in draw(spec))
    assert parts == list(range(points))


@given(st.floats(0, 1, exclude_max=True), st.integers(-50, 50), st.integers(0, 80))
def test_whole_ranges_are_evenly_drawn(part: float, low: int, width: int) -> None:
    axis = AxisSpec(low=low, high=low + width)
    value = axis.at(part)
    assert isinstance(value, int)
    assert value == low + int(part * (width + 1))


@given(st.floats(0, 1, exclude_max=True), st.floats(1e-3, 1e6), st.floats(1, 1e4))
def test_log_ranges_stay_inside(part: float, low: float, ratio: float) -> None:
    axis = AxisSpec(low=low, high=low * ratio, scale="log")
    assert low <= axis.at(part) <= low * ratio


def test_units_are_read_and_ranges_end_where_they_say() -> None:
    assert AxisSpec(low="1GiB", high="3GiB", step="1GiB").values == (2**30, 2**31, 3 * 2**30)
    assert AxisSpec(low="10ms", high="1s").bounds == (0.01, 1.0)
    assert AxisSpec(low="1GB/s", high="2GB/s").bounds == (1e9, 2e9)
    assert AxisSpec(low=1, high=7, scale="log", step=3).at(0.999) == 7
    assert AxisSpec(low=2, high=2).values == (2,)
    assert AxisSpec(low=0.5, high=2).values is None
    assert reads_bytes("offload.cpu.capacity")
    assert reads_bytes("gpu.memory")
    assert not reads_bytes("instances")
    assert not reads_bytes("no.such.path")


def test_rows_are_points_times_samples(base: Scenario) -> None:
    spec = SweepSpec.model_validate(
        {
            "name": "s",
            "scenario": "x.yaml",
            "grid": {"instances": [1, 2]},
            "points": [{"gpu": "a100-40gb"}, {"gpu": "l40s"}],
            "sample": {"points": 3, "ranges": {"workload.qps": {"low": 1, "high": 2.5}}},
        }
    )
    points = expand(base, grid=spec.grid, rows=spec.rows())
    assert len(points) == 2 * 2 * 3
    assert points[0].label.keys() == {"setup", "gpu", "workload.qps", "instances", "seed"}
    assert spec.paths == {"instances", "gpu", "workload.qps"}
    assert len({point.key for point in points}) == 12


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("sample: {ranges: {}}", "sample.ranges"),
        ("sample: {points: 5, method: sobol, ranges: {a: [1]}}", "take 4 or 8"),
        ("sample: {method: halton, ranges: {a: [1]}}", "choose"),
        ("sample: {points: 0, ranges: {a: [1]}}", "must be at least 1"),
        ("sample: {ranges: {a: {low: 1}}}", "both low and high"),
        ("sample: {ranges: {a: {low: 2, high: 1}}}", "low: 2 is above high 1"),
        ("sample: {ranges: {a: {low: 0, high: 1, scale: log}}}", "no logarithm"),
        ("sample: {ranges: {a: {low: 1, high: 2, step: 0}}}", "greater than 0"),
        ("sample: {ranges: {a: {low: 1, high: 2, step: 1e-9}}}", "more than 100,000"),
        ("sample: {ranges: {a: {low: 1, high: bananas}}}", "'bananas' is neither a number"),
        ("sample: {ranges: {a: {low: 1, hihg: 2}}}", "did you mean 'high'"),
        ("sample: {ranges: {a: {choices: []}}}", "at least one value"),
        ("sample: {ranges: {a: {choices: [1], low: 1}}}", "goes without low"),
        ("sample: {ranges: {a: 3}}", "give a list of values"),
        ("sample: {ranges: {a: {low: .nan, high: 1}}}", "not finite"),
        ("points: [{a: 1}, {b: 1}]", "is in some points only"),
        ("points: [{a: 1}]\ngrid: {a: [1]}", "a is in grid and in points"),
        ("sample: {ranges: {a: [1]}}\nzip: {a: [1]}", "a is in zip and in sample"),
    ],
)
def test_bad_designs_are_one_line(tmp_path: Path, part: str, words: str) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(f"name: s\nscenario: x.yaml\n{part}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_sweep(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "sweep.yaml" in str(caught.value)
