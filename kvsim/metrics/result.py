"""The result of a run: tables, one line of figures, and a folder to keep them in.

The folder is made beside its place and moved there when it is whole. Equal runs
give equal bytes in every file but manifest.json, which also tells the wall time.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kvsim.errors import ConfigError
from kvsim.metrics.columns import TOKEN_SUMS
from kvsim.metrics.folder import MANIFEST, UNTIMED, new_result
from kvsim.metrics.frames import Frames
from kvsim.metrics.recorder import STEP_COLUMNS, TRANSFER_COLUMNS
from kvsim.metrics.summary import Summary, summarise
from kvsim.metrics.tables import (
    FIELDS,
    SavedTables,
    build_tables,
    read_table,
    to_frame,
    write_table,
)
from kvsim.metrics.tenants import fairness, tenant_rows
from kvsim.spec.scenario import Scenario
from kvsim.spec.yamlfile import read_mapping, yaml_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import pandas as pd
    import pyarrow as pa  # type: ignore[import-untyped]

    from kvsim.metrics.columns import Columns
    from kvsim.metrics.recorder import Recorder

_COUNTS = frozenset(("output_tokens", *TOKEN_SUMS))
"""Columns of requests that are plain attributes of them."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where a result comes from and what it cost."""

    kvsim_version: str
    scenario_hash: str
    seed: int
    events: int
    """Events that the simulation processed."""
    wall_s: float
    """Time that the simulation took on this machine; differs from run to run."""
    start_s: float
    """Simulated time of the workload's begin, after the warm-up."""
    end_s: float
    """Simulated time at which the last answer was there."""


@dataclass(frozen=True, eq=False)
class RunResult(Frames):
    """What one scenario led to; frames are made when they are first asked for."""

    scenario: Scenario
    manifest: Manifest
    _summary: Summary
    _make_tables: Callable[[], Mapping[str, pa.Table]]
    _recorder: Recorder | None = None
    """The rows that are still in memory, if they all are."""
    remarks: Sequence[str] = ()
    """What was left out or repaired of the workload, for the user; a saved run does not keep it."""

    @classmethod
    def from_run(
        cls,
        scenario: Scenario,
        recorder: Recorder,
        requests: Columns,
        tiers_rows: Sequence[Mapping[str, Any]],
        remote_keys: Iterable[tuple[int, int]],
        *,
        start_s: float,
        end_s: float,
        events: int,
        wall_s: float,
        died: bool,
        kept: Mapping[str, Mapping[str, int | None]] | None = None,
        remarks: Sequence[str] = (),
    ) -> RunResult:
        """Close the books of a run; `remote_keys` are (node id, chunk index) of what was kept.

        `requests` are the recorder's columns, worked out once.
        `kept` has what each tenant took of the tiers, if tenants are told apart.
        """
        launching_s = scenario.workload.time
        if launching_s is None:
            arrivals_s = requests["arrival_s"]
            launching_s = float(arrivals_s.max()) - start_s if len(arrivals_s) else 0.0
        summary = summarise(
            requests,
            recorder.sessions,
            start_s=start_s,
            end_s=end_s,
            launching_s=launching_s,
            warmup_cut_s=scenario.warmup_cut,
            events=events,
            died=died,
        )
        tenants_rows: Sequence[Mapping[str, Any]] = ()
        if scenario.tenants is not None and kept is not None:
            tenants_rows = tenant_rows(
                scenario.tenants,
                requests,
                kept,
                start_s=min(start_s + scenario.warmup_cut, end_s),
                end_s=end_s,
                slo=scenario.slo,
            )
        manifest = Manifest(
            kvsim_version=_version(),
            scenario_hash=scenario.hash(),
            seed=scenario.seed,
            events=events,
            wall_s=wall_s,
            start_s=start_s,
            end_s=end_s,
        )
        return cls(
            scenario,
            manifest,
            summary,
            partial(build_tables, recorder, tiers_rows, remote_keys, tenants_rows),
            recorder if recorder.sink is None else None,
            remarks,
        )

    @cached_property
    def _tables(self) -> Mapping[str, pa.Table]:
        return self._make_tables()

    @cached_property
    def tiers(self) -> pd.DataFrame:
        """A row a tier of an instance: capacity, use, lookups, hit tokens, evictions."""
        return to_frame(self._tables["tiers"])

    @cached_property
    def sessions(self) -> pd.DataFrame:
        """A row a change of the number of live sessions."""
        return to_frame(self._tables["sessions"])

    @cached_property
    def tenants(self) -> pd.DataFrame | None:
        """A row a tenant (see `kvsim.metrics.tenants`); None where none are told apart."""
        return None if self.scenario.tenants is None else to_frame(self._tables["tenants"])

    def columns(self, name: str, *columns: str) -> Columns:
        """Return columns of `requests` (without warm-ups), `steps` or `transfers` as arrays.

        Rows that are in memory are read without the libraries of tables.
        """
        recorder = self._recorder
        if recorder is None:
            table = self._tables[name].to_pandas()
            if name == "requests":
                table = table[~table["warmup"]]
            return {column: table[column].to_numpy() for column in columns}
        if name == "requests":
            if _COUNTS.issuperset(columns):  # much faster than with all the others
                counted = [request for request in recorder.requests if not request.warmup]
                return {
                    column: np.array([*map(attrgetter(column), counted)], dtype=np.int64)
                    for column in columns
                }
            requests = recorder.request_columns()
            return {column: requests[column] for column in columns}
        rows, known = (
            (recorder.steps, STEP_COLUMNS)
            if name == "steps"
            else (recorder.transfers, TRANSFER_COLUMNS)
        )
        found = {}
        for column in columns:
            values = [*map(itemgetter(known.index(column)), rows)]
            words = bool(values) and isinstance(values[0], str)
            found[column] = np.array(values, dtype=object if words else None)
        return found

    @property
    def _table_names(self) -> list[str]:
        return [*FIELDS] if self.scenario.tenants is None else [*FIELDS, "tenants"]

    def summary_dict(self) -> Summary:
        """Return the figures of the run (see `kvsim.metrics.summary`)."""
        return dict(self._summary)

    def tenants_dict(self) -> dict[str, Any]:
        """Return the table of tenants and how fair it was; empty where none are told apart."""
        if self.scenario.tenants is None:
            return {}
        rows = self._tables["tenants"].to_pylist()
        return {"tenants": rows, "fairness": fairness(rows)}

    def summary(self) -> pd.Series[Any]:
        """Return the figures of the run as one flat row."""
        import pandas as pd

        return pd.Series(self.summary_dict(), name=self.scenario.name, dtype=object)

    def save(self, folder: Path) -> None:
        """Write the folder, whole or not at all; an earlier result in its place is replaced."""
        with new_result(folder) as draft:
            self.write_files(draft)

    def saved_in(self, folder: Path) -> RunResult:
        """Return the same result with tables that are read from a folder when asked for."""
        return replace(self, _make_tables=partial(SavedTables, Path(folder)))

    def write_files(self, folder: Path, *, but: Collection[str] = ()) -> None:
        """Write the files of a saved run into a folder, `but` for tables that are there."""
        for name in self._table_names:
            if name not in but:
                write_table(self._tables[name], folder / f"{name}.parquet")
        (folder / "scenario.yaml").write_text(yaml_text(self.scenario.to_dict()), "utf-8")
        _write_json(self._summary, folder / "summary.json")
        _write_json(asdict(self.manifest), folder / MANIFEST)

    @classmethod
    def load(cls, folder: Path) -> RunResult:
        """Read a folder that `save` wrote."""
        folder = Path(folder)
        if not (folder / MANIFEST).is_file():
            raise ConfigError(
                f"{folder}: is no saved run (manifest.json is missing); "
                "name a folder that `kvsim run --out` has made"
            )
        if (folder / UNTIMED).is_file():
            raise ConfigError(
                f"{folder}: is a run without time (--no-time), which has no times to look at; "
                "run the scenario with time, or give its folder alone to `kvsim report`"
            )
        names = [*FIELDS, "tenants"] if (folder / "tenants.parquet").is_file() else [*FIELDS]
        tables = {name: read_table(name, folder / f"{name}.parquet") for name in names}
        path = folder / "scenario.yaml"
        try:
            manifest = Manifest(**json.loads((folder / MANIFEST).read_text("utf-8")))
            summary = json.loads((folder / "summary.json").read_text("utf-8"))
            content = read_mapping(path)
        except (OSError, ValueError, TypeError, ConfigError) as error:
            raise ConfigError(
                f"{folder}: the saved run is damaged ({error}); run the scenario again"
            ) from error
        return cls(Scenario.from_dict(content), manifest, summary, partial(dict, tables))


def load_remote_keys(folder: Path) -> list[tuple[int, int]]:
    """Return (node id, chunk index) of what a saved run left in its remote store."""
    table = read_table("remote", Path(folder) / "remote.parquet")
    return list(zip(table["node_id"].to_pylist(), table["chunk_index"].to_pylist(), strict=True))


def _write_json(content: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")


def _version() -> str:
    from kvsim import __version__

    return __version__
