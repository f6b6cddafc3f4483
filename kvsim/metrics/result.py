"""The result of a run: tables, one line of figures, and a folder to keep them in.

The folder is made beside its place and moved there when it is whole. Equal runs
give equal bytes in every file but manifest.json, which also tells the wall time.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from kvsim.errors import ConfigError
from kvsim.metrics.summary import Summary, summarise
from kvsim.metrics.tables import FIELDS, build_tables, read_table, to_frame, write_table
from kvsim.spec.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd
    import pyarrow as pa  # type: ignore[import-untyped]

    from kvsim.metrics.recorder import Recorder


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
class RunResult:
    """What one scenario led to; frames are made when they are first asked for."""

    scenario: Scenario
    manifest: Manifest
    _summary: Summary
    _make_tables: Callable[[], Mapping[str, pa.Table]]

    @classmethod
    def from_run(
        cls,
        scenario: Scenario,
        recorder: Recorder,
        tiers_rows: Sequence[Mapping[str, Any]],
        remote_keys: Iterable[tuple[int, int]],
        *,
        start_s: float,
        end_s: float,
        events: int,
        wall_s: float,
        died: bool,
    ) -> RunResult:
        """Close the books of a run; `remote_keys` are (node id, chunk index) of what was kept."""
        launching_s = scenario.workload.time
        if launching_s is None:
            last_s = max((r.arrival_s for r in recorder.requests), default=start_s)
            launching_s = last_s - start_s
        summary = summarise(
            recorder,
            start_s=start_s,
            end_s=end_s,
            launching_s=launching_s,
            events=events,
            died=died,
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
            partial(build_tables, recorder, tiers_rows, remote_keys),
        )

    @cached_property
    def _tables(self) -> Mapping[str, pa.Table]:
        return self._make_tables()

    @cached_property
    def requests(self) -> pd.DataFrame:
        """A row a request, warm-ups included: ids, instants, outcome, tokens by source, parts."""
        return to_frame(self._tables["requests"])

    @cached_property
    def steps(self) -> pd.DataFrame:
        """A row a run of equal engine steps."""
        return to_frame(self._tables["steps"])

    @cached_property
    def transfers(self) -> pd.DataFrame:
        """A row a finished movement between an instance and a tier."""
        return to_frame(self._tables["transfers"])

    @cached_property
    def tiers(self) -> pd.DataFrame:
        """A row a tier of an instance: capacity, use, lookups, hit tokens, evictions."""
        return to_frame(self._tables["tiers"])

    @cached_property
    def sessions(self) -> pd.DataFrame:
        """A row a change of the number of live sessions."""
        return to_frame(self._tables["sessions"])

    def summary_dict(self) -> Summary:
        """Return the figures of the run (see `kvsim.metrics.summary`)."""
        return dict(self._summary)

    def summary(self) -> pd.Series[Any]:
        """Return the figures of the run as one flat row."""
        import pandas as pd

        return pd.Series(self.summary_dict(), name=self.scenario.name, dtype=object)

    def save(self, folder: Path) -> None:
        """Write the folder, whole or not at all; an earlier result in its place is replaced."""
        folder = Path(folder).resolve()
        partial_folder = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
        replaced = folder.with_name(f".{folder.name}.{os.getpid()}.replaced")
        try:
            _check_place(folder)
            folder.parent.mkdir(parents=True, exist_ok=True)
            for leftover in (partial_folder, replaced):
                shutil.rmtree(leftover, ignore_errors=True)
            partial_folder.mkdir()
            self._write_files(partial_folder)
            if folder.exists():
                folder.rename(replaced)
            partial_folder.rename(folder)
        except OSError as error:
            raise ConfigError(
                f"{folder}: the run cannot be saved there ({error.strerror or error}); "
                "name a folder that can be written"
            ) from error
        finally:
            if replaced.exists() and not folder.exists():
                replaced.rename(folder)
            for leftover in (partial_folder, replaced):
                shutil.rmtree(leftover, ignore_errors=True)

    def _write_files(self, folder: Path) -> None:
        for name in FIELDS:
            write_table(self._tables[name], folder / f"{name}.parquet")
        yaml = _yaml()
        with (folder / "scenario.yaml").open("w", encoding="utf-8") as file:
            yaml.dump(self.scenario.to_dict(), file)
        _write_json(self._summary, folder / "summary.json")
        _write_json(asdict(self.manifest), folder / "manifest.json")

    @classmethod
    def load(cls, folder: Path) -> RunResult:
        """Read a folder that `save` wrote."""
        folder = Path(folder)
        if not (folder / "manifest.json").is_file():
            raise ConfigError(
                f"{folder}: is no saved run (manifest.json is missing); "
                "name a folder that `kvsim run --out` has made"
            )
        tables = {name: read_table(name, folder / f"{name}.parquet") for name in FIELDS}
        path = folder / "scenario.yaml"
        try:
            manifest = Manifest(**json.loads((folder / "manifest.json").read_text("utf-8")))
            summary = json.loads((folder / "summary.json").read_text("utf-8"))
            content = _yaml().load(path.read_text("utf-8"))
        except (OSError, ValueError, TypeError, YAMLError) as error:
            raise ConfigError(
                f"{folder}: the saved run is damaged ({error}); run the scenario again"
            ) from error
        return cls(Scenario.from_dict(content), manifest, summary, partial(dict, tables))


def load_remote_keys(folder: Path) -> list[tuple[int, int]]:
    """Return (node id, chunk index) of what a saved run left in its remote store."""
    table = read_table("remote", Path(folder) / "remote.parquet")
    return list(zip(table["node_id"].to_pylist(), table["chunk_index"].to_pylist(), strict=True))


def _check_place(folder: Path) -> None:
    """Refuse to replace what is neither a saved run nor empty."""
    if not folder.exists() or (folder / "manifest.json").is_file():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise ConfigError(
            f"{folder}: is there already and no saved run; name a new folder for this one"
        )


def _write_json(content: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.representer.sort_base_mapping_type_on_output = False
    return yaml


def _version() -> str:
    from kvsim import __version__

    return __version__
