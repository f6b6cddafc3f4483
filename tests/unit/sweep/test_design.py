"""Which runs a sweep file holds, and what is no sweep."""

from pathlib import Path

import pytest

from kvsim.errors import ConfigError
from kvsim.spec.scenario import Scenario
from kvsim.sweep.design import SweepSpec, base_scenario, expand, load_sweep

ROOT = Path(__file__).parents[3]
ONE = ROOT / "experiments" / "storagegrid-one.yaml"


def write(folder: Path, text: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_are_setups_times_grid_times_zip_times_seeds(base: Scenario) -> None:
    points = expand(
        base,
        setups={"a": {"instances": 1}, "b": {"instances": 2}},
        grid={"workload.qps": [1, 2], "router": ["random"]},
        rows=[
            {"gpu": "a100-40gb", "host": "epyc-pcie4"},
            {"gpu": "l40s", "host": "xeon-pcie5"},
        ],
        seeds=[0, 7],
    )
    assert len(points) == 2 * 2 * 2 * 2
    assert points[0].label == {
        "setup": "a",
        "gpu": "a100-40gb",
        "host": "epyc-pcie4",
        "workload.qps": 1,
        "router": "random",
        "seed": 0,
    }
    assert {(p.values["gpu"], p.values["host"]) for p in points} == {
        ("a100-40gb", "epyc-pcie4"),
        ("l40s", "xeon-pcie5"),
    }
    assert [p.seed for p in points[:4]] == [0, 7, 0, 7]
    assert points[1].scenario["seed"] == 7
    assert points[1].scenario["gpu"]["name"] == "a100-40gb"
    assert points[0].title == (
        "setup a, gpu a100-40gb, host epyc-pcie4, qps 1, router random, seed 0"
    )


def test_a_sweep_without_setups_has_one(base: Scenario) -> None:
    points = expand(base, grid={"workload.qps": [1, 2]})
    assert [p.setup for p in points] == ["base", "base"]


def test_keys_name_scenarios(base: Scenario) -> None:
    same = expand(base, setups={"a": {}, "b": {"instances": base.instances}})
    assert same[0].key == same[1].key
    assert same[0].key != expand(base, seeds=[1])[0].key


def test_a_point_that_is_no_scenario_is_named(base: Scenario) -> None:
    with pytest.raises(ConfigError, match=r"sweep point \(setup base, workload.qps=-1\)"):
        expand(base, grid={"workload.qps": [1, -1]})


def test_no_seed_is_an_empty_sweep(base: Scenario) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        expand(base, seeds=[])


def test_file_names_a_scenario_beside_it(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(ONE.read_text(encoding="utf-8"), encoding="utf-8")
    path = write(
        tmp_path,
        "name: s\nscenario: one.yaml\nchanges: {workload.qps: 3}\n"
        "grid: {instances: [1, 2]}\nseeds: 3\n",
    )
    spec = load_sweep(path)
    assert spec.seeds == [0, 1, 2]
    assert base_scenario(spec, path).workload.qps == 3


def test_scenario_may_be_inline(tmp_path: Path) -> None:
    inside = "".join(f"  {line}\n" for line in ONE.read_text(encoding="utf-8").splitlines())
    path = write(tmp_path, f"name: s\nscenario:\n{inside}changes: {{instances: 1}}\n")
    assert base_scenario(load_sweep(path), path).instances == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("name: s\n", "scenario: missing"),
        ("name: s\nscenario: x.yaml\ngrids: {}\n", "did you mean 'grid'"),
        ("name: s\nscenario: x.yaml\ngrid: {a.b: []}\n", "a.b has no values"),
        ("name: s\nscenario: x.yaml\nseeds: []\n", "seeds"),
        ("name: s\nscenario: x.yaml\nseeds: 0\n", "at least one seed"),
        ("name: s\nscenario: x.yaml\nzip: {a: [1, 2], b: [1]}\n", "equally long"),
        ("name: s\nscenario: x.yaml\ngrid: {a: [1]}\nzip: {a: [1]}\n", "in grid and in zip"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_sweep(write(tmp_path, text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "sweep.yaml" in str(caught.value)


def test_missing_base_scenario_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "name: s\nscenario: gone.yaml\n")
    with pytest.raises(ConfigError, match=r"gone\.yaml: no such file"):
        base_scenario(load_sweep(path), path)


def test_specs_are_frozen_values() -> None:
    spec = SweepSpec(name="s", scenario="x.yaml")
    assert spec == SweepSpec(name="s", scenario="x.yaml", seeds=[0])
