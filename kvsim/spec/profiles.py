"""Find and read profiles: by name, by path, or a model's config.json.

The user's own folder (models/, gpus/, hosts/, storage/ inside) goes before the one that ships
with kvsim.
"""

from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, overload

from pydantic import TypeAdapter, ValidationError

from kvsim.errors import ConfigError
from kvsim.spec.calibration import CalibrationSpec
from kvsim.spec.gpu import GpuSpec
from kvsim.spec.hf_config import read_hf_config
from kvsim.spec.host import HostSpec
from kvsim.spec.model import ModelSpec
from kvsim.spec.problems import problem_line, suggest
from kvsim.spec.storage import FileStorageSpec, ObjectStorageSpec, StorageSpec
from kvsim.spec.yamlfile import read_mapping

ProfileKind = Literal["models", "gpus", "hosts", "storage"]
PROFILE_KINDS: tuple[ProfileKind, ...] = ("models", "gpus", "hosts", "storage")
CALIBRATED = "calibrated"
"""Folder of calibrations beside those of the profiles."""
AnyProfile: TypeAlias = ModelSpec | GpuSpec | HostSpec | FileStorageSpec | ObjectStorageSpec

_TYPES: dict[ProfileKind, Any] = {
    "models": ModelSpec,
    "gpus": GpuSpec,
    "hosts": HostSpec,
    "storage": StorageSpec,
}


class Roots(NamedTuple):
    """Where names and relative paths of a scenario are looked up."""

    profiles: Path | None = None
    """The user's profile folder."""
    base: Path | None = None
    """Folder of the scenario file."""


def shipped_profiles() -> Path:
    """Return the folder of the profiles that come with kvsim."""
    package = Path(str(resources.files("kvsim")))
    inside = package / "profiles"
    return inside if inside.is_dir() else package.parent / "profiles"


@overload
def load_profile(
    kind: Literal["models"], name: str | Path, *, profiles: Path | None = None
) -> ModelSpec: ...
@overload
def load_profile(
    kind: Literal["gpus"], name: str | Path, *, profiles: Path | None = None
) -> GpuSpec: ...
@overload
def load_profile(
    kind: Literal["hosts"], name: str | Path, *, profiles: Path | None = None
) -> HostSpec: ...
@overload
def load_profile(
    kind: Literal["storage"], name: str | Path, *, profiles: Path | None = None
) -> FileStorageSpec | ObjectStorageSpec: ...
def load_profile(
    kind: ProfileKind, name: str | Path, *, profiles: Path | None = None
) -> AnyProfile:
    """Read a profile by its name, or from a file when the name is a path."""
    return find_profile(kind, str(name), Roots(profiles))


def list_profiles(kind: ProfileKind, *, profiles: Path | None = None) -> list[str]:
    """Name all profiles of a kind, sorted."""
    _check_kind(kind)
    return sorted(
        {file.stem for root in _folders(profiles) for file in (root / kind).glob("*.yaml")}
    )


def find_profile(kind: ProfileKind, name: str, roots: Roots) -> AnyProfile:
    """Read the profile that a scenario names."""
    _check_kind(kind)
    if not name or "\0" in name:
        raise ConfigError(f"{name!r} is no profile name")
    if "/" in name or "\\" in name or name.endswith((".yaml", ".yml", ".json")):
        given = Path(name).expanduser()
        beside = roots.base / given if roots.base else given
        return _read(kind, beside if beside.exists() else given)
    for root in _folders(roots.profiles):
        file = root / kind / f"{name}.yaml"
        if file.is_file():
            return _read(kind, file)
    known = list_profiles(kind, profiles=roots.profiles)
    raise ConfigError(f"no {_noun(kind)} profile {name!r}; {suggest(name, known)}")


def find_calibration(name: str, roots: Roots) -> CalibrationSpec:
    """Read the calibration that a scenario names, from calibrated/ of the profile folders."""
    folders = [root / CALIBRATED for root in _folders(roots.profiles)]
    files = [folder / f"{name}.yaml" for folder in folders]
    if "/" in name or "\\" in name or name.endswith((".yaml", ".yml")):
        given = Path(name).expanduser()
        files = [roots.base / given, given] if roots.base else [given]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        known = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
        raise ConfigError(f"calibration: no calibration {name!r}; {suggest(name, known)}")
    try:
        return CalibrationSpec.model_validate(read_mapping(path))
    except ValidationError as error:
        raise ConfigError(problem_line(error, CalibrationSpec, str(path))) from None


def resolve(kind: ProfileKind, value: Any, context: Any) -> Any:
    """Turn a profile's name into the profile; leave specs and inline mappings alone."""
    if isinstance(value, str | Path):
        return find_profile(kind, str(value), context if isinstance(context, Roots) else Roots())
    return value


def _read(kind: ProfileKind, path: Path) -> AnyProfile:
    try:
        changed_ns = path.stat().st_mtime_ns
    except OSError:
        changed_ns = 0  # reading it says what is wrong
    return _read_version(kind, path, changed_ns)


@lru_cache(maxsize=64)
def _read_version(kind: ProfileKind, path: Path, changed_ns: int) -> AnyProfile:
    """Read a file once for each time it changed: a sweep names the same profiles at every point."""
    if kind == "models" and path.suffix == ".json":
        return read_hf_config(path)
    data = read_mapping(path)
    data.setdefault("name", path.stem)
    adapter: TypeAdapter[AnyProfile] = TypeAdapter(_TYPES[kind])
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        raise ConfigError(problem_line(error, _TYPES[kind], str(path))) from None


def _folders(profiles: Path | None) -> list[Path]:
    if profiles is None:
        return [shipped_profiles()]
    own = Path(profiles).expanduser()
    if not own.is_dir():
        raise ConfigError(f"{own}: no such profile folder; it holds {', '.join(PROFILE_KINDS)}")
    return [own, shipped_profiles()]


def _check_kind(kind: str) -> None:
    if kind not in PROFILE_KINDS:
        raise ConfigError(f"no profiles of kind {kind!r}; {suggest(kind, PROFILE_KINDS)}")


def _noun(kind: ProfileKind) -> str:
    return kind.removesuffix("s").replace("gpu", "GPU")
