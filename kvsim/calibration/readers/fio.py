"""Read fio's JSON (`--output-format=json`): rate and latency of each job and direction.

`bw_bytes` is fio's own: bytes by the job's run time. Latencies are per operation of `block_bytes`,
from its submission on where fio has that (`lat_ns`), else its completion time (`clat_ns`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kvsim.calibration.readers.load_rows import read_json
from kvsim.errors import CalibrationError

_EXPECTED = "the output of fio --output-format=json"
_NS = 1e-9
_DEFAULT_BLOCK_BYTES = 4096
_SUFFIXES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@dataclass(frozen=True, slots=True)
class FioJob:
    """One job, or group of jobs, in one direction."""

    name: str
    direction: Literal["read", "write"]
    block_bytes: int
    jobs: int
    """Processes that fio started for this name (`numjobs`)."""
    depth: int
    """Operations that each keeps in flight (`iodepth`)."""
    direct: bool
    """Past the page cache."""
    n_bytes: int
    operations: int
    runtime_s: float
    bytes_per_s: float
    latency_s_mean: float
    latency_s_quantiles: Mapping[float, float]
    """Quantile (0.99) to seconds; empty if fio was told not to keep them."""


@dataclass(frozen=True, slots=True)
class FioResult:
    """All jobs of one file."""

    version: str
    jobs: tuple[FioJob, ...]
    failed_jobs: int
    """Jobs that ended with an error; they are not in `jobs`."""
    damaged_jobs: int


def read_fio(path: Path) -> FioResult:
    """Read one file; directions in which a job moved nothing are left out."""
    content = read_json(path, expected=_EXPECTED)
    if "fio version" not in content or not isinstance(content.get("jobs"), list):
        raise CalibrationError(f"{path}: no fio version or jobs; expected {_EXPECTED}")
    common = content.get("global options") or {}
    jobs: list[FioJob] = []
    failed = damaged = 0
    for fields in content["jobs"]:
        try:
            if int(fields.get("error", 0)) != 0:
                failed += 1
            else:
                jobs += _jobs(fields, common)
        except (KeyError, TypeError, ValueError, AttributeError):
            damaged += 1
    if not jobs:
        raise CalibrationError(
            f"{path}: no job moved a byte ({failed} failed, {damaged} damaged jobs)"
        )
    return FioResult(str(content["fio version"]), tuple(jobs), failed, damaged)


def _jobs(fields: Mapping[str, Any], common: Mapping[str, str]) -> Iterator[FioJob]:
    options = {**common, **fields.get("job options", {})}
    directions: tuple[Literal["read", "write"], ...] = ("read", "write")
    for place, direction in enumerate(directions):
        moved = fields[direction]
        if not moved["io_bytes"]:
            continue
        latency = moved["lat_ns"] if moved.get("lat_ns", {}).get("N") else moved["clat_ns"]
        quantiles = latency.get("percentile") or moved["clat_ns"].get("percentile") or {}
        yield FioJob(
            name=str(fields["jobname"]),
            direction=direction,
            block_bytes=_block_bytes(options, place),
            jobs=int(options.get("numjobs", 1)),
            depth=int(options.get("iodepth", 1)),
            direct=str(options.get("direct", "0")) == "1",
            n_bytes=int(moved["io_bytes"]),
            operations=int(moved["total_ios"]),
            runtime_s=float(moved["runtime"]) / 1000,
            bytes_per_s=float(moved["bw_bytes"]),
            latency_s_mean=float(latency["mean"]) * _NS,
            latency_s_quantiles={
                round(float(share) / 100, 6): float(value) * _NS
                for share, value in quantiles.items()
            },
        )


def _block_bytes(options: Mapping[str, str], place: int) -> int:
    """Read `bs`, which may name sizes for reads, writes and trims: "4k,1M"."""
    text = options.get("bs", options.get("blocksize"))
    if text is None:
        return _DEFAULT_BLOCK_BYTES
    parts = text.lower().split(",")
    one = (parts[place] if place < len(parts) and parts[place] else parts[-1]).strip()
    digits = one.rstrip("bi")
    number = digits.rstrip("kmgt")
    return int(number) * _SUFFIXES[digits[len(number) :]]
