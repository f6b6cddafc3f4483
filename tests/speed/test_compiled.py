"""What `make fast` compiles gives the same files as its sources, byte for byte."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kvsim.engine.engine

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


def tables(root: Path, out: Path) -> tuple[str, dict[str, bytes]]:
    """Run the experiments from the package in `root`; return which engine ran and the tables."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(out), *EXPERIMENTS],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    saved = {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*.parquet")}
    return done.stdout, saved


@pytest.mark.skipif(
    str(kvsim.engine.engine.__file__).endswith(".py"), reason="not compiled: run `make fast`"
)
def test_compiled_code_and_its_sources_write_the_same_bytes(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    sources = shutil.ignore_patterns("*.so", "__pycache__")
    for folder in ("kvsim", "profiles", "experiments"):
        shutil.copytree(ROOT / folder, plain / folder, ignore=sources)
    fast_engine, fast = tables(ROOT, tmp_path / "fast-out")
    plain_engine, slow = tables(plain, tmp_path / "plain-out")
    assert fast_engine.strip().endswith(".so")
    assert plain_engine.strip().endswith(".py")
    assert len(fast) >= 3 * len(EXPERIMENTS)
    assert fast == slow
