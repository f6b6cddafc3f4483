"""A result's folder, made beside its place and moved there when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kvsim.errors import ConfigError

MANIFEST = "manifest.json"
"""The file that makes a folder a saved run."""
UNTIMED = "hits.json"
"""The figures of a saved run without time; a run with time has none."""


@contextmanager
def new_result(folder: Path) -> Iterator[Path]:
    """Give a folder to fill that then takes its place, or leaves no trace if anything fails.

    An earlier result in that place is replaced.
    """
    folder = Path(folder).resolve()
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    replaced = folder.with_name(f".{folder.name}.{os.getpid()}.replaced")
    try:
        check_place(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        for leftover in (draft, replaced):
            shutil.rmtree(leftover, ignore_errors=True)
        draft.mkdir()
        yield draft
        if folder.exists():
            folder.rename(replaced)
        draft.rename(folder)
    except OSError as error:
        raise ConfigError(
            f"{folder}: the run cannot be saved there ({error.strerror or error}); "
            "name a folder that can be written"
        ) from error
    finally:
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        for leftover in (draft, replaced):
            shutil.rmtree(leftover, ignore_errors=True)


def check_place(folder: Path) -> None:
    """Refuse to replace what is neither a saved run nor empty."""
    if not folder.exists() or (folder / MANIFEST).is_file():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise ConfigError(
            f"{folder}: is there already and no saved run; name a new folder for this one"
        )
