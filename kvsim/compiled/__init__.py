"""The simulator's heart as machine code, in use only where it was made from exactly this code.

`kvsim compile` leaves extension modules in `kvsim/__compiled__`, in a folder named after the
sources' fingerprint and the interpreter. Change one byte of a source and the sources run, until it
is compiled anew. KVSIM_COMPILED=0 in the environment asks for the sources.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from kvsim.compiled.code import PACKAGE, code_fingerprint

BUILDS = PACKAGE / "__compiled__"
SUFFIX = EXTENSION_SUFFIXES[0]
"""For example .cpython-311-x86_64-linux-gnu.so: names the interpreter and the machine."""


class CompiledFinder(MetaPathFinder):
    """Finds the modules that were compiled, before Python looks for their sources."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a compiled module lies; None for all others."""
        file = self.files.get(fullname)
        return None if file is None else spec_from_file_location(fullname, file)


def build_folder() -> Path:
    """Return where the extension modules of this code and this interpreter belong."""
    return BUILDS / f"{code_fingerprint()}{SUFFIX.rpartition('.')[0]}"


def use_compiled() -> None:
    """Import the heart of kvsim from its extension modules from now on, if there are any."""
    if os.environ.get("KVSIM_COMPILED") == "0" or not BUILDS.is_dir():
        return
    folder = build_folder()
    files = {
        ".".join(file.relative_to(folder).parts).removesuffix(SUFFIX): file
        for file in folder.rglob(f"*{SUFFIX}")
    }
    if files:
        sys.meta_path.insert(0, CompiledFinder(files))
