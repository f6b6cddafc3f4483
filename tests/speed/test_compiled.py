"""What `kvsim compile` makes gives the same files as its sources, byte for byte."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kvsim.compiled import CompiledFinder, build_folder
from kvsim.compiled import build as build_module
from kvsim.compiled.build import heart_modules
from kvsim.compiled.code import PACKAGE
from kvsim.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXPERIMENTS = (
    "storagegrid-one.yaml",
    "agentic-coding.yaml",
    "rag.yaml",
    "validation/cpu12GB_fs_131k_pool__qa10k.yaml",
    "validation/cpu12GB_s3_stalled__qa10k.yaml",
)
RUN = """
import sys
from pathlib import Path
import kvsim.engine.engine
from kvsim.simulate import simulate
from kvsim.spec import load_scenario
print(kvsim.engine.engine.__file__)
for name in sys.argv[2:]:
    simulate(load_scenario(Path("experiments", name)), save_to=Path(sys.argv[1], Path(name).stem))
"""

needs_compiled = pytest.mark.skipif(
    not build_folder().is_dir(), reason="not compiled: run `kvsim compile`"
)


def tables(out: Path, *, compiled: bool) -> tuple[str, dict[str, bytes]]:
    """Run the experiments; return which engine ran and the tables that it wrote."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(out), *EXPERIMENTS],
        cwd=ROOT,
        env={**os.environ, "KVSIM_COMPILED": str(int(compiled))},
        capture_output=True,
        text=True,
        check=True,
    )
    saved = {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*.parquet")}
    return done.stdout.strip(), saved


@needs_compiled
def test_compiled_code_and_its_sources_write_the_same_bytes(tmp_path: Path) -> None:
    fast_engine, fast = tables(tmp_path / "fast", compiled=True)
    plain_engine, plain = tables(tmp_path / "plain", compiled=False)
    assert Path(fast_engine).is_relative_to(build_folder())
    assert Path(plain_engine) == PACKAGE / "engine" / "engine.py"
    assert len(fast) >= 3 * len(EXPERIMENTS)
    assert fast == plain


@needs_compiled
def test_every_module_of_the_heart_is_compiled() -> None:
    modules = [path.relative_to(PACKAGE.parent).with_suffix("") for path in heart_modules(PACKAGE)]
    made = {file.relative_to(build_folder()) for file in build_folder().rglob("*.*")}
    names = {path.with_name(path.name.split(".")[0]) for path in made}
    assert set(modules) <= names


def test_finder_knows_compiled_modules_only(tmp_path: Path) -> None:
    file = tmp_path / "keys.so"
    finder = CompiledFinder({"kvsim.cache.keys": file})
    found = finder.find_spec("kvsim.cache.keys", None)
    assert found is not None
    assert found.origin == str(file)
    assert finder.find_spec("kvsim.cache.extents", None) is None


@needs_compiled
def test_changed_sources_run_until_they_are_compiled(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "kvsim")
    source = tmp_path / "kvsim" / "engine" / "engine.py"
    assert engine_file(tmp_path).is_relative_to(tmp_path / "kvsim" / "__compiled__")
    source.write_text(source.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    assert engine_file(tmp_path) == source


def test_without_mypyc_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"kvsim\[compile\].* runs from its sources"):
        build_module.build()


def engine_file(root: Path) -> Path:
    """Say which file the engine of the package in `root` comes from."""
    words = [sys.executable, "-c", "import kvsim.engine.engine as e; print(e.__file__)"]
    done = subprocess.run(
        words,
        cwd=root,
        env={**os.environ, "KVSIM_COMPILED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip())
