"""Fit all parts to a set of measured runs, each part with the costs that the parts before gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from kvsim.calibration.fit.copies import fit_copies
from kvsim.calibration.fit.files import fit_files
from kvsim.calibration.fit.handover import fit_handover
from kvsim.calibration.fit.host import fit_admission, fit_launch, fit_requests
from kvsim.calibration.fit.objects import fit_objects
from kvsim.calibration.fit.passes import RunTrace, trace_run
from kvsim.calibration.fit.results import Findings
from kvsim.calibration.fit.step import StepFit, fit_step
from kvsim.calibration.fit.uploads import fit_uploads
from kvsim.calibration.readers.run_folder import load_run
from kvsim.errors import CalibrationError
from kvsim.spec import (
    CalibrationSpec,
    Coefficient,
    EngineSpec,
    FileStorageSpec,
    GpuSpec,
    HostSpec,
    ModelSpec,
    ObjectStorageSpec,
    Spec,
)

_SpecT = TypeVar("_SpecT", bound=Spec)


@dataclass(frozen=True)
class Basis:
    """What the runs ran on: profiles whose numbers start the fit and hold where it has none."""

    model: ModelSpec
    gpu: GpuSpec
    host: HostSpec
    engine: EngineSpec
    stores: tuple[FileStorageSpec | ObjectStorageSpec, ...] = ()
    """Remote stores of the runs, one of a medium."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """A finished fit."""

    spec: CalibrationSpec
    findings: Findings
    steps: StepFit


def calibrate(run_dirs: Sequence[Path], basis: Basis, *, name: str) -> Calibration:
    """Load the runs and fit everything that they show."""
    if not run_dirs:
        raise CalibrationError("no run to calibrate on; name the folders of recorded runs")
    return calibrate_traces([trace_run(load_run(path)) for path in run_dirs], basis, name=name)


def calibrate_traces(traces: Sequence[RunTrace], basis: Basis, *, name: str) -> Calibration:
    """Fit everything that the traces show."""
    model, engine = basis.model, basis.engine
    kv_bytes = model.kv_bytes_per_token_per_rank(engine.tensor_parallel_size)
    steps, _, found = fit_step(traces, model, basis.gpu, engine, basis.host)
    host = basis.host
    for fit in (fit_launch, fit_admission, fit_requests):
        found.add(fit(traces, host))
        host = with_coefficients(host, "host", found.coefficients)
    found.add(fit_copies(traces, host, kv_bytes))
    host = with_coefficients(host, "host", found.coefficients)
    media = {trace.remote for trace in traces if trace.remote}
    for store in basis.stores:
        media.discard(store.medium)
        if isinstance(store, FileStorageSpec):
            found.add(fit_files(traces, store, host, kv_bytes))
        else:
            found.add(fit_objects(traces, store, host, kv_bytes))
            found.add(fit_uploads(traces, store, kv_bytes))
        found.add(fit_handover(traces, store, host))
    found.notes += [
        f"a run has a remote tier of medium {medium!r}, but no storage profile is given for it"
        for medium in sorted(media)
    ]
    paths, covariance = steps.paths, steps.covariance
    newest = max(trace.run.epoch_s for trace in traces)
    spec = CalibrationSpec(
        name=name,
        date=datetime.fromtimestamp(newest, UTC).date().isoformat(),
        gpu=basis.gpu.name,
        model=model.name,
        host=basis.host.name,
        runs=tuple(trace.name for trace in traces),
        coefficients=found.coefficients,
        ranges=found.ranges,
        correlated=paths,
        covariance=tuple(tuple(float(value) for value in row) for row in covariance),
    )
    return Calibration(spec, found, steps)


def with_coefficients(spec: _SpecT, prefix: str, coefficients: dict[str, Coefficient]) -> _SpecT:
    """Return a spec with the coefficients under a dotted prefix put in."""
    data: dict[str, Any] = spec.model_dump()
    for path, found in coefficients.items():
        if path.startswith(prefix + "."):
            *outer, last = path.removeprefix(prefix + ".").split(".")
            block = data
            for part in outer:
                block = block[part]
            block[last] = found.value
    return type(spec).model_validate(data)
