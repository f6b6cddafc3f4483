"""Put a calibration's coefficients in place of the profiles' numbers of a scenario."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from kvsim.errors import ConfigError
from kvsim.spec.calibration import CalibrationSpec
from kvsim.spec.changes import apply_changes
from kvsim.spec.profiles import Roots, find_calibration, resolve

_PARTS = ("gpu", "host")
_STORE = ("offload", "remote", "profile")


def apply_calibration(data: Mapping[str, Any], roots: Roots) -> dict[str, Any]:
    """Return a scenario's data with the coefficients of the calibration that it names.

    A store's coefficients hold only for the store of that name. In the result the calibration is
    inline, which says that its numbers are in: keys changed later stay changed.
    """
    spec = find_calibration(str(data["calibration"]), roots)
    store = _store_name(data, roots)
    changes: dict[str, float] = {}
    for path, found in spec.coefficients.items():
        root, _, rest = path.partition(".")
        if root in _PARTS:
            changes[path] = found.value
        elif root == "storage":
            name, _, field = rest.partition(".")
            if name == store:
                changes[f"{'.'.join(_STORE)}.{field}"] = found.value
        else:
            raise ConfigError(
                f"calibration {spec.name}: coefficients.{path} begins with none of gpu, host, "
                "storage"
            )
    errors = {path: found.residual for path, found in spec.coefficients.items() if found.residual}
    changed = apply_changes(data, changes, roots)
    for path in changes:
        _mark_fitted(changed, path, spec, errors.get(_own_path(path, store)))
    changed["calibration"] = spec.model_dump(mode="json")
    return changed


def _store_name(data: Mapping[str, Any], roots: Roots) -> str | None:
    block: Any = data
    for part in _STORE[:-1]:
        block = block.get(part) if isinstance(block, Mapping) else None
    if isinstance(block, str):
        profile: Any = block
    else:
        profile = block.get(_STORE[-1]) if isinstance(block, Mapping) else None
    if profile is None:
        return None
    profile = resolve("storage", profile, roots)
    if isinstance(profile, BaseModel):
        profile = profile.model_dump(mode="json")
    name = profile.get("name") if isinstance(profile, Mapping) else None
    return name if isinstance(name, str) else None


def _own_path(path: str, store: str | None) -> str:
    """Give the calibration's own name of a scenario's path."""
    prefix = ".".join(_STORE) + "."
    return f"storage.{store}.{path.removeprefix(prefix)}" if path.startswith(prefix) else path


def _mark_fitted(
    data: dict[str, Any], path: str, spec: CalibrationSpec, residual: float | None
) -> None:
    """Give a calibrated number its source in place of the one that says: set by hand."""
    parts = path.split(".")
    depth = len(_STORE) if tuple(parts[: len(_STORE)]) == _STORE else 1
    block = data
    for part in parts[:depth]:
        block = block[part]
    sources = block.get("sources")
    if isinstance(sources, dict):
        source = {"kind": "fitted", "how": f"calibration {spec.name}", "date": spec.date}
        sources[".".join(parts[depth:])] = source | (
            {} if residual is None else {"fit_error": residual}
        )
