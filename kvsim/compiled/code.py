"""Which code makes a result, so that no table mixes two versions of it."""

import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
_NO_RESULT = ("cli", "report", "sweep", "calibration", "plan", "app", "compiled")


@cache
def code_fingerprint() -> str:
    """Name the code that makes results, by the bytes of its sources."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        if inside.parts[0] not in _NO_RESULT:
            digest.update(inside.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
