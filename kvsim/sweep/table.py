"""The sweep's table: one tidy row a run, the same bytes whatever order the runs ended in."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvsim.compiled.code import code_fingerprint
from kvsim.errors import ConfigError
from kvsim.sweep.design import Point
from kvsim.sweep.place import Place, place_of

if TYPE_CHECKING:
    import pandas as pd

TABLE = "sweep.parquet"
DESCRIPTION = "sweep.json"
REPLICATIONS = "replications"
"""Name of the table with a row a point, where several seeds were run."""


def rows(
    points: Sequence[Point], summaries: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Join labels and summaries in the order of the design, without runs that have none."""
    return [
        {**{name: _cell(value) for name, value in point.label.items()}, **summaries[point.key]}
        for point in points
        if point.key in summaries
    ]


def tabulate(records: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Make the table of the rows; a metric that no run has is a column of NaN."""
    import pandas as pd

    frame = pd.DataFrame(records)
    empty = [name for name in frame.columns if frame[name].isna().all()]
    return frame.astype(dict.fromkeys(empty, float))


def write_table(frame: "pd.DataFrame", place: Place | Path, name: str = "sweep") -> None:
    """Write the table for programs (parquet) and for spreadsheets (csv)."""
    place = place_of(place) if isinstance(place, Path) else place
    content = io.BytesIO()
    frame.to_parquet(content, index=False)
    place.write(f"{name}.parquet", content.getvalue())
    place.write(f"{name}.csv", frame.to_csv(index=False, lineterminator="\n").encode())


def write_description(described: Mapping[str, Any], place: Place | Path) -> None:
    """Write what was swept, whole, so that a report needs no other file."""
    place = place_of(place) if isinstance(place, Path) else place
    text = json.dumps({**described, "code": code_fingerprint()}, indent=1)
    place.write(DESCRIPTION, f"{text}\n".encode())


def read_description(place: Place | Path) -> dict[str, Any]:
    """Read what a finished sweep swept."""
    described: dict[str, Any] = json.loads(_read(place, DESCRIPTION))
    return described


def read_table(place: Place | Path) -> "pd.DataFrame":
    """Read the table of a finished sweep."""
    import pandas as pd

    return pd.read_parquet(io.BytesIO(_read(place, TABLE)))


def has_table(place: Place | Path) -> bool:
    """Tell whether a sweep has left its table there."""
    place = place_of(place) if isinstance(place, Path) else place
    return place.read(TABLE) is not None


def _read(place: Place | Path, name: str) -> bytes:
    place = place_of(place) if isinstance(place, Path) else place
    content = place.read(name)
    if content is None:
        raise ConfigError(f"{place}: no {name}; run kvsim sweep FILE --out {place} first")
    return content


def _cell(value: object) -> object:
    """Write a swept mapping or list as text, for a column holds plain values."""
    return json.dumps(value) if isinstance(value, dict | list) else value
