"""Where the files of a sweep lie: a folder, or an address that fsspec knows (s3://bucket/path).

A reader sees a file as it was or as it is, never half of one: folders rename, object stores do so
by themselves.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Protocol

from kvsim.errors import ConfigError


class Place(Protocol):
    """A flat or nested set of files."""

    def write(self, name: str, content: bytes) -> None:
        """Keep a file under a name relative to the place."""

    def read(self, name: str) -> bytes | None:
        """Hand back a file, or None if there is none."""

    def names(self, folder: str, suffix: str) -> list[str]:
        """List the names of the files right in a folder that end so, sorted."""


class Folder:
    """Files in a folder of this machine, or one that it shares."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def write(self, name: str, content: bytes) -> None:
        target = self._path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        draft.write_bytes(content)
        draft.replace(target)

    def read(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except OSError:
            return None

    def names(self, folder: str, suffix: str) -> list[str]:
        return sorted(path.name for path in (self._path / folder).glob(f"*{suffix}"))


class Remote:
    """Files at an address of fsspec."""

    def __init__(self, address: str) -> None:
        try:
            import fsspec

            self._files: Any
            self._files, self._root = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"{address}: cannot be used for results ({error}); "
                "install kvsim[cluster] and what the address needs, or name a folder"
            ) from error
        self._address = address

    def __str__(self) -> str:
        return self._address

    def write(self, name: str, content: bytes) -> None:
        path = f"{self._root}/{name}"
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(path, content)

    def read(self, name: str) -> bytes | None:
        try:
            content = self._files.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return None
        except Exception as error:  # each file system of fsspec has errors of its own
            raise self._unreadable(error) from error
        assert isinstance(content, bytes)
        return content

    def names(self, folder: str, suffix: str) -> list[str]:
        self._files.invalidate_cache()
        try:
            found = self._files.ls(f"{self._root}/{folder}", detail=False)
        except FileNotFoundError:
            return []
        except Exception as error:  # as above
            raise self._unreadable(error) from error
        return sorted(path.rpartition("/")[2] for path in found if path.endswith(suffix))

    def _unreadable(self, error: Exception) -> ConfigError:
        return ConfigError(
            f"{self._address}: cannot be read ({_reason(error)}); "
            "check the address and the credentials"
        )


def place_of(where: str | Path) -> Folder | Remote:
    """Tell an address from a folder."""
    return Remote(str(where)) if "://" in str(where) else Folder(Path(where))


def writable_place(where: str, *, option: str) -> Folder | Remote:
    """Return a place and prove that files can be written there, before any work is done."""
    place = place_of(where)
    try:
        if isinstance(place, Folder):
            path = Path(where)
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
        else:
            place.write(".kvsim", b"")
    except ConfigError:
        raise
    except Exception as error:  # each file system of fsspec has errors of its own
        raise ConfigError(
            f"{option} {where}: cannot write there ({_reason(error)}); "
            "name a place you may write to"
        ) from error
    return place


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
