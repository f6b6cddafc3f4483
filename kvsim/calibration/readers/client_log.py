"""Read client.log: the summary that multi-round-qa.py prints at its end.

It prints the same block every log interval too, over that interval only. The block over the whole
run, drain included, is the one after "Finished benchmarking".
"""

import re
from dataclasses import dataclass
from pathlib import Path

from kvsim.calibration.readers.files import read_lines, strip_ansi
from kvsim.errors import CalibrationError

_TIME_RANGE = re.compile(r"Time range: ([\d.]+) - ([\d.]+)")
_VALUE = re.compile(
    r"^\s*([A-Z][^:]*):\s*([-+\d.]+(?:e[-+]?\d+)?|inf|nan)(?:\s|s$|$)", re.IGNORECASE
)
_NAMES = {
    "processing speed": "finished_per_s",
    "requests on-the-fly": "pending",
    "input tokens per second": "input_tokens_per_s",
    "output tokens per second": "output_tokens_per_s",
    "average generation throughput (per request)": "decode_tokens_per_s_mean",
    "average ttft": "ttft_s_mean",
}


@dataclass(frozen=True, slots=True)
class ClientSummary:
    """The last summary block; start and end are epoch seconds, end is after the drain."""

    start_s: float
    """First step of the session manager, right after the warm-up."""
    end_s: float
    finished_per_s: float
    """ "Processing speed": finished requests by the time from start to end."""
    pending: int
    input_tokens_per_s: float
    output_tokens_per_s: float
    decode_tokens_per_s_mean: float
    """Mean over requests of generated tokens by generation time."""
    ttft_s_mean: float


def read_client_log(path: Path) -> ClientSummary:
    """Read the last summary block of one log; none at all is an error."""
    values: dict[str, float] = {}
    found: dict[str, float] | None = None
    finished = False
    for raw in read_lines(path):
        line = strip_ansi(raw)
        if "Finished benchmarking" in line:
            finished = True
        elif "Performance summary" in line:
            values = {}
        elif finished and (period := _TIME_RANGE.search(line)) is not None:
            found = {**values, "start_s": float(period[1]), "end_s": float(period[2])}
            values = {}
        elif (value := _VALUE.match(line)) is not None:
            name = _NAMES.get(value[1].strip().lower())
            if name is not None:
                values[name] = float(value[2])
    if found is None:
        raise CalibrationError(
            f'{path}: no "Time range" after "Finished benchmarking"; expected the log of a '
            "multi-round-qa run that came to its end"
        )
    missing = [name for name in _NAMES.values() if name not in found]
    if missing:
        raise CalibrationError(f"{path}: the last performance summary lacks {', '.join(missing)}")
    return ClientSummary(
        start_s=found["start_s"],
        end_s=found["end_s"],
        finished_per_s=found["finished_per_s"],
        pending=int(found["pending"]),
        input_tokens_per_s=found["input_tokens_per_s"],
        output_tokens_per_s=found["output_tokens_per_s"],
        decode_tokens_per_s_mean=found["decode_tokens_per_s_mean"],
        ttft_s_mean=found["ttft_s_mean"],
    )
