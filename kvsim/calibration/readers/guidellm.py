"""Read GuideLLM's benchmarks.json.

One file can hold several benchmarks (a sweep); their requests are read as one list, which their
times keep apart. Timings are epoch seconds.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvsim.calibration.readers.load_rows import (
    LoadRow,
    LoadRows,
    optional_float,
    optional_int,
    read_json,
    sorted_rows,
)
from kvsim.errors import CalibrationError

_EXPECTED = "GuideLLM's benchmarks.json"


def read_guidellm(path: Path) -> LoadRows:
    """Read one file; incomplete requests are skipped, errored ones are rows with their error."""
    content = read_json(path, expected=_EXPECTED)
    benchmarks = content.get("benchmarks")
    if not isinstance(benchmarks, list) or not all(
        isinstance(one, dict) and isinstance(one.get("requests"), dict) for one in benchmarks
    ):
        raise CalibrationError(f"{path}: no list of benchmarks with requests; expected {_EXPECTED}")
    rows: list[LoadRow] = []
    damaged = skipped = 0
    for benchmark in benchmarks:
        groups = benchmark["requests"]
        skipped += len(groups.get("incomplete") or ())
        for kind in ("successful", "errored"):
            for fields in groups.get(kind) or ():
                try:
                    rows.append(_row(fields, failed=kind == "errored"))
                except (KeyError, TypeError, ValueError):
                    damaged += 1
    if not rows:
        raise CalibrationError(f"{path}: no request ({damaged} damaged, {skipped} incomplete rows)")
    return LoadRows("GuideLLM", "epoch", sorted_rows(rows), damaged, skipped)


def _row(fields: Mapping[str, Any], *, failed: bool) -> LoadRow:
    info = fields["info"]
    timings = info["timings"]
    launch_s = float(timings["request_start"])
    finish_s = None if failed else float(timings["request_end"])
    return LoadRow(
        request_id=str(fields["request_id"]),
        session=info.get("conversation_id"),
        round_index=int(info.get("turn_index") or 0) + 1,
        launch_s=launch_s,
        first_token_s=optional_float(timings.get("first_token_iteration")),
        finish_s=finish_s,
        prompt_tokens=int(fields.get("prompt_tokens") or 0),
        output_tokens=int(fields.get("output_tokens") or 0),
        cached_tokens=optional_int(fields.get("cached_tokens")),
        due_s=optional_float(timings.get("targeted_start")),
        error=_first_line(info.get("error")) if failed else None,
    )


def _first_line(error: object) -> str:
    """Return the first line; GuideLLM writes the repr of an exception, with its escapes."""
    return str(error or "errored").replace("\\n", "\n").splitlines()[0]
