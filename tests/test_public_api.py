"""What `import kvsim` gives and what it costs; the shipped files load."""

import subprocess
import sys
from pathlib import Path

import pytest

import kvsim
from kvsim.spec.load import load_scenario
from kvsim.spec.yamlfile import read_mapping
from kvsim.sweep.design import base_scenario, expand, load_sweep

ROOT = Path(__file__).parents[1]
EXPERIMENTS = sorted(
    path for path in (ROOT / "experiments").rglob("*.yaml") if "runs" not in path.parts
)
HEAVY = ("pandas", "scipy", "plotly", "streamlit", "pyarrow", "joblib", "rich", "typer")


def test_public_names_are_there() -> None:
    assert sorted(kvsim.__all__) == kvsim.__all__
    for name in kvsim.__all__:
        assert hasattr(kvsim, name)
    assert callable(kvsim.simulate)
    assert callable(kvsim.sweep)


def test_public_names_survive_imports_of_their_modules() -> None:
    import kvsim.simulate
    import kvsim.sweep.design

    assert callable(kvsim.simulate)
    assert callable(kvsim.sweep)


def loaded_by(code: str) -> set[str]:
    """Return which heavy libraries a program has loaded when it ends."""
    program = (
        f"import sys\n{code}\nprint(*(m for m in {HEAVY!r} if m in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stderr.split())


def test_import_is_light() -> None:
    assert loaded_by("import kvsim") == set()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiments_load(path: Path) -> None:
    if "workload" in read_mapping(path):
        assert load_scenario(path).name
    else:
        spec = load_sweep(path)
        base = base_scenario(spec, path)
        points = expand(
            base, setups=spec.setups, grid=spec.grid, rows=spec.rows(), seeds=spec.seeds
        )
        assert len({point.key for point in points}) == len(points)


def test_version_is_the_packages_own() -> None:
    assert kvsim.__version__.count(".") == 2
