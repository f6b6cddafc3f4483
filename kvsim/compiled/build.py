"""Compile the simulator's heart with mypyc, from the sources as they are.

mypyc works on a copy of the package, so that a checkout keeps its files and an installed package
needs no project around it. Each module is type-checked against kvsim, numpy and the standard
library alone: the rest is `Any` to it, which costs no speed and saves most of the time.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from kvsim.compiled import BUILDS, SUFFIX, build_folder
from kvsim.compiled.code import PACKAGE
from kvsim.errors import ConfigError

HEART = (
    "cache/*.py",
    "compute/*.py",
    "des/clock.py",
    "des/fair_share.py",
    "des/link.py",
    "engine/**/*.py",
    "metrics/recorder.py",
    "metrics/usage.py",
    "routing/*.py",
    "storage/*.py",
    "workload/chance.py",
    "workload/multi_round_qa.py",
    "workload/request.py",
    "workload/trace_replay.py",
)
"""Where the time of a run goes. `des/environment.py` is not here: it extends SimPy's classes."""
MYPY_INI = """\
[mypy]
follow_imports = skip
[mypy-kvsim.*]
follow_imports = silent
[mypy-numpy.*]
follow_imports = silent
"""
ENVIRONMENT = {"MYPYC_OPT_LEVEL": "1", "MYPYC_DEBUG_LEVEL": "0"}
"""-O2 takes a third longer to compile, and its runs take as long as those of -O1 (measured)."""
WAY_OUT = "without it kvsim runs from its sources, at about half the speed"


def build() -> Path:
    """Compile this code for this interpreter and return the folder, which later imports use.

    Raises ConfigError if mypyc or a C compiler is missing or the folder cannot be written.
    """
    for needed in ("mypyc", "setuptools"):
        if find_spec(needed) is None:
            raise ConfigError(
                f"kvsim compile: needs {needed}: pip install 'kvsim[compile]'; {WAY_OUT}"
            )
    target = build_folder()
    with tempfile.TemporaryDirectory(prefix="kvsim-compile-") as temp:
        made = compile_copy(Path(temp))
        try:
            _install(made, target)
        except OSError as error:
            raise ConfigError(f"kvsim compile: cannot write {target}: {error.strerror}") from error
    return target


def heart_modules(package: Path) -> list[Path]:
    """Return the sources that are compiled; packages themselves stay what Python makes of them."""
    found = {path for pattern in HEART for path in package.glob(pattern)}
    return sorted(path for path in found if path.name != "__init__.py")


def compile_copy(root: Path) -> dict[Path, Path]:
    """Compile a copy of the package under `root`; return the files made, by where they belong."""
    copy = root / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns(BUILDS.name, "__pycache__"))
    (root / "mypy.ini").write_text(MYPY_INI, encoding="utf-8")
    words = [sys.executable, "-m", "mypyc", "--config-file", "mypy.ini", "--cache-dir", os.devnull]
    done = subprocess.run(
        [*words, *(str(path.relative_to(root)) for path in heart_modules(copy))],
        cwd=root,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
        raise ConfigError(f"kvsim compile: {said[-1] if said else 'mypyc failed'}; {WAY_OUT}")
    files = [*root.glob(f"*{SUFFIX}"), *copy.rglob(f"*{SUFFIX}")]
    return {file.relative_to(root): file for file in files}


def _install(made: dict[Path, Path], target: Path) -> None:
    """Put the files in place at once, and take away what was made from other code."""
    BUILDS.mkdir(exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=BUILDS))
    for inside, file in made.items():
        (draft / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(file, draft / inside)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    for other in BUILDS.iterdir():
        if other != target and other.suffix == target.suffix:
            shutil.rmtree(other, ignore_errors=True)
