"""What a scenario without time found: a row a request, a row a tenant, in a run's own columns.

Times, queues and promises have no columns here: nothing takes time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kvsim.errors import ConfigError
from kvsim.metrics.columns import TOKEN_SUMS
from kvsim.metrics.folder import MANIFEST, UNTIMED, new_result
from kvsim.metrics.tables import make_table, to_frame, write_table
from kvsim.metrics.tenants import TENANT_FIELDS
from kvsim.spec import Scenario
from kvsim.spec.yamlfile import read_mapping, yaml_text

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa  # type: ignore[import-untyped]

    from kvsim.workload.request import Request

REQUEST_COLUMNS: Final = (
    "request_id",
    "session_id",
    "round_index",
    "instance",
    "prompt_tokens",
    "output_tokens",
    "arrival_s",
    *TOKEN_SUMS[1:],
)
"""Columns of `requests.parquet`, and `tenant` where tenants are told apart."""
TENANT_COLUMNS: Final = (
    "tenant",
    "weight",
    "priority",
    "launched",
    "finished",
    *TOKEN_SUMS,
    "output_tokens",
    "token_hit_rate",
    "demand",
    "service",
    "service_fraction",
    "cpu_peak_bytes",
    "cpu_evicted_bytes",
    "remote_peak_bytes",
    "remote_evicted_bytes",
)
"""Columns of `tenants.parquet`: those of a run that need no time."""


@dataclass(frozen=True, eq=False)
class UntimedRun:
    """Requests served at once, in the trace's order."""

    scenario: Scenario
    summary: Mapping[str, Any]
    """Requests, prompt tokens by source, hit rate, references to chunks."""
    wall_s: float
    """Time that the caches took on this machine; differs from run to run."""
    _tables: Mapping[str, pa.Table] = field(repr=False)
    remarks: Sequence[str] = ()
    """What was left out or repaired of the trace; a saved run does not keep it."""

    @cached_property
    def requests(self) -> pd.DataFrame:
        """A row a request: its instance and its prompt tokens by source."""
        return to_frame(self._tables["requests"])

    @cached_property
    def tenants(self) -> pd.DataFrame | None:
        """A row a tenant; None where none are told apart."""
        return to_frame(self._tables["tenants"]) if "tenants" in self._tables else None

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, with a row a tenant where tenants are told apart."""
        shared = {"tenants": self.tenant_rows()} if "tenants" in self._tables else {}
        return {**self.summary, **shared, "wall_s": self.wall_s}

    def tenant_rows(self) -> list[dict[str, Any]]:
        """Return the table of tenants; empty where none are told apart."""
        if "tenants" not in self._tables:
            return []
        rows: list[dict[str, Any]] = self._tables["tenants"].to_pylist()
        return rows

    def save(self, folder: Path) -> None:
        """Write the folder, whole or not at all; an earlier result in its place is replaced."""
        from kvsim import __version__

        manifest = {
            "kvsim_version": __version__,
            "scenario_hash": self.scenario.hash(),
            "seed": self.scenario.seed,
            "wall_s": self.wall_s,
        }
        with new_result(folder) as draft:
            for name, table in self._tables.items():
                write_table(table, draft / f"{name}.parquet")
            (draft / "scenario.yaml").write_text(yaml_text(self.scenario.to_dict()), "utf-8")
            for name, content in ((UNTIMED, self.summary), (MANIFEST, manifest)):
                (draft / name).write_text(json.dumps(content, indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> UntimedRun:
        """Read a folder that `save` wrote."""
        import pyarrow as pa
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        try:
            names = [n for n in ("requests", "tenants") if (folder / f"{n}.parquet").is_file()]
            tables = {name: pq.read_table(folder / f"{name}.parquet") for name in names}
            tables["requests"].select(REQUEST_COLUMNS)
            summary = json.loads((folder / UNTIMED).read_text("utf-8"))
            wall_s = float(json.loads((folder / MANIFEST).read_text("utf-8"))["wall_s"])
            content = read_mapping(folder / "scenario.yaml")
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException, ConfigError) as error:
            raise ConfigError(
                f"{folder}: the saved run is damaged ({error}); run the scenario again"
            ) from error
        return cls(Scenario.from_dict(content), summary, wall_s, tables)


def untimed_tables(
    requests: Sequence[Request], tenants_rows: Sequence[Mapping[str, Any]] | None
) -> dict[str, pa.Table]:
    """Make the tables of a run without time; `tenants_rows` is None without tenants."""
    named = tenants_rows is not None
    table = make_table("requests", requests, tenants=named)
    tables = {"requests": table.select([*REQUEST_COLUMNS, *(["tenant"] if named else [])])}
    if tenants_rows is not None:
        rows = [[row[name] for name in TENANT_FIELDS] for row in tenants_rows]
        tables["tenants"] = make_table("tenants", rows, tenants=True).select(TENANT_COLUMNS)
    return tables
