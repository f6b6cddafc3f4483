"""Measured decode steps of runs on other cards and models (LLMServingSim's vLLM runs).

In seconds in which nothing but decodes ran (no prompt tokens, nobody waiting) the step is running
requests by generated tokens a second. Seconds with prompts are held against the time that the
model needs for as many tokens. Contexts come from the requests' own times, on the assumption that
each decodes at an even pace.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kvsim.calibration.fit.robust import Array
from kvsim.calibration.readers.files import read_lines
from kvsim.compute.step_time import StepTime
from kvsim.errors import CalibrationError
from kvsim.spec import HostSpec

_TOGETHER = 5


@dataclass(frozen=True, slots=True)
class DecodeSecond:
    """One second of pure decoding."""

    time_s: float
    decodes: int
    context_tokens: int
    step_s: float


@dataclass(frozen=True, slots=True)
class MixedSecond:
    """One second in which prompts were taken in beside decodes."""

    time_s: float
    decodes: int
    context_tokens: int
    prompt_tokens: float
    generated_tokens: float


@dataclass(frozen=True)
class TransferError:
    """How well efficiencies predict steps that they were not fitted on."""

    seconds: int
    median_error: float
    """Median of |predicted - measured| / measured."""
    bias: float
    """Median of (predicted - measured) / measured."""
    decodes: tuple[int, int]
    """Least and largest batch."""


def read_decode_seconds(folder: Path) -> list[DecodeSecond]:
    """Read the seconds of pure decoding of a folder (requests.jsonl, timeseries.csv)."""
    found = []
    for time_s, decodes, context, line in _seconds(folder):
        quiet = float(line["prompt_throughput"]) == 0 and int(line["waiting"]) == 0
        rate, running = float(line["gen_throughput"]), int(line["running"])
        if quiet and rate and running and abs(decodes - running) <= 1:
            found.append(DecodeSecond(time_s, decodes, context, decodes / rate))
    return found


def read_mixed_seconds(folder: Path) -> list[MixedSecond]:
    """Read the seconds in which prompts were taken in while others decoded."""
    found = []
    for time_s, decodes, context, line in _seconds(folder):
        prompt, rate = float(line["prompt_throughput"]), float(line["gen_throughput"])
        if prompt and rate:
            found.append(MixedSecond(time_s, decodes, context, prompt, rate))
    return found


def _seconds(folder: Path) -> Iterator[tuple[float, int, int, dict[str, str]]]:
    """Yield each second with some decode: its middle, the decodes and contexts then, its row."""
    rows = [json.loads(line) for line in read_lines(folder / "requests.jsonl") if line.strip()]
    if not rows:
        raise CalibrationError(f"{folder}: requests.jsonl is empty")
    start_s = min(row["queued_ts"] for row in rows)
    first, last, prompt, output = (
        np.array([float(row[name]) for row in rows])
        for name in ("first_token_ts", "last_token_ts", "input_toks", "output_toks")
    )
    first, last = first - start_s, last - start_s
    for line in csv.DictReader(read_lines(folder / "timeseries.csv")):
        middle_s = float(line["t"]) - 0.5
        live = (first <= middle_s) & (last > middle_s)
        if live.any():
            share = (middle_s - first[live]) / (last[live] - first[live])
            context = int((prompt[live] + share * output[live]).sum())
            yield middle_s, int(live.sum()), context, line


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
    return _error(predicted / measured - 1, [one.decodes for one in seconds])


def predict_mixed(seconds: list[MixedSecond], step_time: StepTime, host: HostSpec) -> TransferError:
    """Compare the time that the model needs for what a second did with that second.

    Each decode gives a token a step, so the second has generated / decodes steps, over which its
    prompt tokens are spread evenly, as chunks of new prompts. The log counts a prompt when it ends
    and single seconds are noisy, so five of them in a row make a case.
    """
    if not seconds:
        raise CalibrationError("no second with prompts in the run")
    launch_s = host.schedule.decode + host.launch.piecewise_graph + host.update
    spent: list[float] = []
    for one in seconds:
        steps = max(1.0, one.generated_tokens / one.decodes)
        chunk = round(one.prompt_tokens / steps)
        step_s = step_time.step_s(one.decodes, one.context_tokens, [(0, chunk)] if chunk else ())
        spent.append(steps * max(step_s, launch_s))
    runs = np.split(np.arange(len(seconds)), range(_TOGETHER, len(seconds), _TOGETHER))
    error = np.array([np.mean(np.array(spent)[run]) - 1 for run in runs])
    return _error(error, [one.decodes for one in seconds])


def _error(error: Array, batches: list[int]) -> TransferError:
    return TransferError(
        len(error),
        float(np.median(np.abs(error))),
        float(np.median(error)),
        (min(batches), max(batches)),
    )
