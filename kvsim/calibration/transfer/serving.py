"""Measured decode steps of runs on other cards and models (LLMServingSim's vLLM runs).

Only seconds in which nothing but decodes ran are used: no prompt tokens, nobody waiting. The step
is then running requests by generated tokens a second; the contexts come from the requests' own
times, on the assumption that each decodes at an even pace.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kvsim.calibration.fit.robust import Array
from kvsim.calibration.readers.files import read_lines
from kvsim.compute.step_time import StepTime
from kvsim.errors import CalibrationError
from kvsim.spec import HostSpec


@dataclass(frozen=True, slots=True)
class DecodeSecond:
    """One second of pure decoding."""

    time_s: float
    decodes: int
    context_tokens: int
    step_s: float


@dataclass(frozen=True)
class TransferError:
    """How well efficiencies predict decode steps that they were not fitted on."""

    seconds: int
    median_error: float
    """Median of |predicted - measured| / measured."""
    bias: float
    """Median of (predicted - measured) / measured."""
    decodes: tuple[int, int]
    """Least and largest batch."""


def read_decode_seconds(folder: Path) -> list[DecodeSecond]:
    """Read a run's vllm/ folder (requests.jsonl, timeseries.csv)."""
    rows = [json.loads(line) for line in read_lines(folder / "requests.jsonl") if line.strip()]
    if not rows:
        raise CalibrationError(f"{folder}: requests.jsonl is empty")
    start_s = min(row["queued_ts"] for row in rows)
    first, last, prompt, output = (
        np.array([float(row[name]) for row in rows])
        for name in ("first_token_ts", "last_token_ts", "input_toks", "output_toks")
    )
    first, last = first - start_s, last - start_s
    found = []
    for line in csv.DictReader(read_lines(folder / "timeseries.csv")):
        rate, running = float(line["gen_throughput"]), int(line["running"])
        quiet = float(line["prompt_throughput"]) == 0 and int(line["waiting"]) == 0
        middle_s = float(line["t"]) - 0.5
        live = (first <= middle_s) & (last > middle_s)
        if not quiet or not rate or not running or abs(int(live.sum()) - running) > 1:
            continue
        share = (middle_s - first[live]) / (last[live] - first[live])
        context = int((prompt[live] + share * output[live]).sum())
        decodes = int(live.sum())
        found.append(DecodeSecond(middle_s, decodes, context, decodes / rate))
    return found


def predict_decodes(
    seconds: list[DecodeSecond], step_time: StepTime, host: HostSpec
) -> TransferError:
    """Compare the model's decode steps with the measured ones; the host may be what is slow."""
    if not seconds:
        raise CalibrationError("no second of pure decoding in the run")
    measured: Array = np.array([one.step_s for one in seconds])
    floor_s = host.schedule.decode + host.launch.full_graph + host.update
    predicted = np.array(
        [max(step_time.step_s(one.decodes, one.context_tokens, ()), floor_s) for one in seconds]
    )
    error = predicted / measured - 1
    batches = [one.decodes for one in seconds]
    return TransferError(
        len(seconds),
        float(np.median(np.abs(error))),
        float(np.median(error)),
        (min(batches), max(batches)),
    )
