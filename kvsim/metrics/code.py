"""Which code made a result, so that no table mixes two versions of it."""

import hashlib
from functools import cache
from pathlib import Path

_NO_RESULT = ("cli", "report", "sweep", "calibration", "plan", "app")


@cache
def code_fingerprint() -> str:
    """Name the code that makes results, so that no table mixes two versions of it."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        if inside.parts[0] not in _NO_RESULT:
            digest.update(inside.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
