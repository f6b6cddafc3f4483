"""Read the JSON of `vllm bench serve --save-result --save-detailed`.

Without `--save-detailed` there are no rows, only means: that is an error here. `start_times` come
from a monotonic clock, so the rows have no date. The k-th entries of the lists are one request; a
failed one has an error text and no tokens.
"""

from pathlib import Path
from typing import Any

from kvsim.calibration.readers.load_rows import LoadRow, LoadRows, read_json, sorted_rows
from kvsim.errors import CalibrationError

_EXPECTED = "the JSON of `vllm bench serve --save-result --save-detailed`"
_LISTS = ("input_lens", "output_lens", "ttfts", "itls", "start_times", "errors")


def read_vllm_bench(path: Path) -> LoadRows:
    """Read one file; a row whose entries are no numbers is counted as damaged."""
    content = read_json(path, expected=_EXPECTED)
    if "ttfts" not in content and "mean_ttft_ms" in content:
        raise CalibrationError(f"{path}: means only, no rows; run it with --save-detailed")
    for name in _LISTS:
        if not isinstance(content.get(name), list):
            raise CalibrationError(f"{path}: list {name} is missing; expected {_EXPECTED}")
    lengths = {len(content[name]) for name in _LISTS}
    if len(lengths) != 1:
        raise CalibrationError(
            f"{path}: its lists have {sorted(lengths)} entries; expected one a request in each of "
            f"{', '.join(_LISTS)}"
        )
    rows: list[LoadRow] = []
    damaged = 0
    for values in zip(*(content[name] for name in _LISTS), strict=True):
        try:
            rows.append(_row(*values))
        except (TypeError, ValueError):
            damaged += 1
    if not rows:
        raise CalibrationError(f"{path}: no request ({damaged} damaged rows)")
    return LoadRows("vllm bench serve", "unknown", sorted_rows(rows), damaged)


def _row(prompt: Any, output: Any, ttft: Any, itl: Any, start: Any, error: Any) -> LoadRow:
    launch_s = float(start)
    gaps = tuple(float(gap) for gap in itl)
    first_s = None if error else launch_s + float(ttft)
    return LoadRow(
        request_id=None,
        session=None,
        round_index=1,
        launch_s=launch_s,
        first_token_s=first_s,
        finish_s=None if first_s is None else first_s + sum(gaps),
        prompt_tokens=int(prompt),
        output_tokens=0 if error else int(output),
        error=str(error).strip() if error else None,
        itl_s=gaps,
    )
