"""Write a calibration as the YAML file that scenarios name with `calibration:`."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from kvsim.errors import CalibrationError
from kvsim.spec import CalibrationSpec

_HEADER = """\
# Written by `python -m kvsim calibrate`: what the runs say, in s, bytes/s and parts of a peak.
# A scenario takes these numbers in place of its profiles' with `calibration: {name}`.
"""
_DIGITS = 6


def write_calibration(spec: CalibrationSpec, path: Path) -> None:
    """Write the file; numbers keep six digits."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(calibration_text(spec), encoding="utf-8")
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be written ({error.strerror})") from error


def calibration_text(spec: CalibrationSpec) -> str:
    """Return the content of the file."""
    data = _rounded(spec.model_dump(mode="json", exclude_defaults=True))
    yaml = YAML()
    yaml.width = 120
    yaml.default_flow_style = None
    text = StringIO()
    yaml.dump(data, text)
    return _HEADER.format(name=spec.name) + text.getvalue()


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return value
