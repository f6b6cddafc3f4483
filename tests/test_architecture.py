"""Imports point down only, and each heavy library stays where it belongs."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kvsim"

# From the top; parts of one line import each other only where SIDEWAYS says so.
LAYERS = (
    {"__init__", "__main__"},
    {"cli", "app"},
    {"report"},
    {"deploy"},
    {"sweep", "plan", "calibration"},
    {"simulate"},
    {"engine", "routing"},
    {"workload", "metrics"},
    {"storage", "compute", "cache"},
    {"des"},
    {"spec"},
    {"text"},
    {"units"},
    {"compiled"},
    {"errors"},
)
SIDEWAYS = {
    ("metrics", "workload"),
    ("engine", "routing"),
    ("sweep", "calibration"),
    ("plan", "sweep"),
    ("plan", "calibration"),
}
"""Recorders keep requests; the front end asks the router; a sweep's rows say how sure they are; a
recommendation runs a small sweep and says how far its calibration carries."""

ONLY_IN = {
    "simpy": {"des", "storage", "engine", "routing", "workload", "simulate", "plan", "calibration"},
    "pandas": {"metrics", "sweep", "plan", "calibration", "report", "cli", "app"},
    "scipy": {"calibration", "plan", "sweep", "metrics"},
    "plotly": {"report", "app"},
    "streamlit": {"app"},
    "optuna": {"plan"},
    "typer": {"cli"},
    "rich": {"cli"},
    "joblib": {"sweep"},
}
STDLIB_AND_VLLM = sys.stdlib_module_names | {"vllm"}
WITHOUT_CLOCK = ("cache", "engine/schedule.py")

MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(name: str) -> str:
    """Return the layer's part that a dotted kvsim module belongs to."""
    return [*name.split("."), "__init__"][1]


def imports(path: Path) -> Iterator[str]:
    """Yield every imported module of a file, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if "probe" in path.parts:
                # It is loaded without kvsim itself, so it names its own modules relatively.
                assert node.level == 1 or (node.module or "").split(".")[0] in STDLIB_AND_VLLM
                continue
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            if module == "kvsim":
                yield from (
                    f"kvsim.{alias.name}" for alias in node.names if alias.name != "__version__"
                )
            else:
                yield module


def level(part: str) -> int:
    """Return how far from the top a part is."""
    return next(i for i, parts in enumerate(LAYERS) if part in parts)


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_point_down(path: Path) -> None:
    own = relative(path).removesuffix(".py").split("/")[0]
    for name in imports(path):
        if name.split(".")[0] != "kvsim":
            continue
        other = part_of(name)
        if other == own or (own, other) in SIDEWAYS:
            continue
        assert level(own) < level(other), f"{own} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_libraries_stay_in_their_place(path: Path) -> None:
    own = relative(path).removesuffix(".py").split("/")[0]
    for name in imports(path):
        library = name.split(".")[0]
        if library in ONLY_IN:
            assert own in ONLY_IN[library], f"{relative(path)} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_decisions_have_no_clock(path: Path) -> None:
    if relative(path).startswith(WITHOUT_CLOCK):
        assert not {"simpy", "kvsim.des"} & {
            ".".join(name.split(".")[:2]) if name.startswith("kvsim") else name.split(".")[0]
            for name in imports(path)
        }


@pytest.mark.parametrize("path", [*MODULES, ROOT / "app.py"], ids=lambda path: path.name)
def test_modules_stay_small(path: Path) -> None:
    limit = 150 if path.name == "app.py" else 400
    assert len(path.read_text(encoding="utf-8").splitlines()) <= limit
