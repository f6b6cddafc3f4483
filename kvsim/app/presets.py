"""The scenarios that the dashboard starts from."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

from kvsim.errors import ConfigError
from kvsim.spec.load import load_scenario
from kvsim.spec.problems import suggest
from kvsim.spec.scenario import Scenario

_NAMED = {
    "StorageGRID experiment": "storagegrid-one.yaml",
    "Agentic coding": "agentic-coding.yaml",
    "Questions on documents (RAG)": "rag.yaml",
    "Chat": "chat.yaml",
}
DEFAULT = next(iter(_NAMED))


def experiments() -> Path:
    """Return the folder of the experiments: inside the installed package, else the checkout's."""
    package = Path(str(resources.files("kvsim")))
    inside = package / "experiments"
    return inside if inside.is_dir() else package.parent / "experiments"


@lru_cache(maxsize=1)
def presets() -> dict[str, Path]:
    """Name all presets: the experiment, two workloads, and each validated run."""
    folder = experiments()
    runs = sorted((folder / "validation").glob("*.yaml"))
    measured = {f"Measured: {path.stem.partition('__')[0]}": path for path in runs}
    return {name: folder / file for name, file in _NAMED.items()} | measured


@lru_cache(maxsize=32)
def load_preset(name: str) -> Scenario:
    """Read a preset by its name; only names of the list are known."""
    known = presets()
    if name not in known:
        raise ConfigError(f"no preset {name!r}; {suggest(name, known)}")
    return load_scenario(known[name])
