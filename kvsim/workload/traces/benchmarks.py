"""What load generators and tracing write: vLLM bench, GuideLLM, AIPerf, OpenTelemetry, ShareGPT.

A benchmark's times say when it really sent its requests, also where it waited for answers: an open
replay repeats that pace, a closed one the order of each conversation. None of them says what
prompts share, except that a conversation's next prompt repeats the one before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kvsim.errors import TraceError
from kvsim.workload.traces.build import DamagedRowError, TraceBuilder, number, whole
from kvsim.workload.traces.files import Progress, field, json_rows, json_value, text_lines
from kvsim.workload.traces.trace import Trace

INPUT_ATTRIBUTES = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
OUTPUT_ATTRIBUTES = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
SESSION_ATTRIBUTES = ("gen_ai.conversation.id", "session.id")


def read_vllm_bench(path: Path, progress: Progress, *, strict: bool) -> Trace:
    """Read the result of `vllm bench serve --save-result --save-detailed`."""
    data = json_value(path)
    builder = TraceBuilder(str(path), "vllm_bench", strict=strict, from_zero=True)
    lists = {}
    for name in ("start_times", "input_lens", "output_lens"):
        values = data.get(name) if isinstance(data, dict) else None
        if not isinstance(values, list):
            raise TraceError(f"{path}: no list {name!r}; run vllm bench serve with --save-detailed")
        lists[name] = values
    if len({len(values) for values in lists.values()}) > 1:
        raise TraceError(f"{path}: start_times, input_lens and output_lens differ in length")
    errors = data.get("errors") or []
    for row, start_s in enumerate(lists["start_times"]):
        with builder.row(f"request {row}"):
            if row < len(errors) and errors[row]:
                raise DamagedRowError(
                    f"the request failed: {str(errors[row]).splitlines()[-1]:.60}"
                )
            builder.add(
                time_s=start_s,
                prompt_tokens=lists["input_lens"][row],
                output_tokens=lists["output_lens"][row],
            )
    progress(1.0)
    return builder.build()


def read_guidellm(path: Path, progress: Progress, *, strict: bool, part: int | None) -> Trace:
    """Read GuideLLM's benchmarks.json; of a sweep, the benchmark number `part` from 0."""
    data = json_value(path)
    runs = data.get("benchmarks") if isinstance(data, dict) else None
    if not isinstance(runs, list) or not runs:
        raise TraceError(f"{path}: no list 'benchmarks'; it is no GuideLLM result")
    if part is None and len(runs) > 1:
        raise TraceError(
            f"{path}: holds {len(runs)} benchmarks; choose one from 0 to {len(runs) - 1} "
            "(workload.part, --part)"
        )
    if part is not None and part >= len(runs):
        raise TraceError(f"{path}: no benchmark {part}; it holds {len(runs)}, counted from 0")
    run = runs[part or 0]
    requests = run.get("requests") if isinstance(run, dict) else None
    if not isinstance(requests, dict):
        raise TraceError(
            f"{path}: the benchmark has no 'requests'; write them out, not only totals"
        )
    builder = TraceBuilder(str(path), "guidellm", strict=strict, from_zero=True)
    for outcome in ("successful", "incomplete", "errored"):
        for row, request in enumerate(requests.get(outcome) or []):
            with builder.row(f"{outcome} request {row}"):
                if outcome != "successful":
                    raise DamagedRowError("the request did not end well")
                info = request.get("info") or {}
                times = {**request, **(info.get("timings") or {})}
                session = info.get("conversation_id") or request.get("conversation_id")
                ended = times.get("request_end") or times.get("request_end_time")
                builder.add(
                    time_s=field(times, "request_start", "request_start_time", "start_time"),
                    end_s=math.nan if ended is None else number(ended, "request_end"),
                    prompt_tokens=field(request, "prompt_tokens"),
                    output_tokens=field(request, "output_tokens"),
                    session=None if session is None else str(session),
                )
    progress(1.0)
    return builder.build()


def read_aiperf(path: Path, progress: Progress, *, strict: bool) -> Trace:
    """Read AIPerf's profile_export.jsonl; its warm-up is skipped."""
    builder = TraceBuilder(str(path), "aiperf", strict=strict, from_zero=True)
    warmup = 0
    for where, row in json_rows(path, builder, progress):
        with builder.row(where):
            about, metrics = field(row, "metadata"), row.get("metrics") or {}
            if about.get("benchmark_phase") == "warmup":
                warmup += 1
                continue
            if row.get("error") or about.get("was_cancelled"):
                raise DamagedRowError("the request failed or was cancelled")
            session = about.get("x_correlation_id") or about.get("conversation_id")
            builder.add(
                time_s=number(field(about, "request_start_ns"), "request_start_ns") / 1e9,
                end_s=number(field(about, "request_end_ns"), "request_end_ns") / 1e9,
                prompt_tokens=_metric(metrics, "input_sequence_length"),
                output_tokens=_metric(metrics, "output_sequence_length", "output_token_count"),
                session=None if session is None else str(session),
            )
    if warmup:
        builder.notes.append(f"{warmup} warm-up requests skipped")
    return builder.build()


def read_otel(path: Path, progress: Progress, *, strict: bool) -> Trace:
    """Read OTLP spans (JSON, one value or one a line) that carry gen_ai.usage attributes."""
    builder = TraceBuilder(str(path), "otel", strict=strict, from_zero=True)
    others = 0
    for where, span in _spans(path, builder, progress):
        attributes = _attributes(span)
        if not any(name in attributes for name in INPUT_ATTRIBUTES):
            others += 1
            continue
        with builder.row(where):
            session = next((attributes[n] for n in SESSION_ATTRIBUTES if n in attributes), None)
            ended = span.get("endTimeUnixNano")
            builder.add(
                time_s=number(field(span, "startTimeUnixNano"), "startTimeUnixNano") / 1e9,
                end_s=math.nan if ended is None else number(ended, "endTimeUnixNano") / 1e9,
                prompt_tokens=field(attributes, *INPUT_ATTRIBUTES),
                output_tokens=field(attributes, *OUTPUT_ATTRIBUTES),
                session=None if session is None else str(session),
            )
    if others:
        builder.notes.append(f"{others} spans without gen_ai.usage.input_tokens skipped")
    return builder.build()


def read_sharegpt(path: Path, progress: Progress, *, strict: bool, chars_per_token: float) -> Trace:
    """Read ShareGPT's JSON: conversations as text, without times.

    Lengths are characters divided by `chars_per_token`; each prompt repeats the rounds before.
    """
    data = json_value(path)
    if not isinstance(data, list):
        raise TraceError(f"{path}: not a list of conversations; it is no ShareGPT file")
    builder = TraceBuilder(str(path), "sharegpt", clock="none", strict=strict)
    for index, talk in enumerate(data):
        where = f"conversation {index}"
        with builder.row(where):
            turns = talk.get("conversations") if isinstance(talk, dict) else None
            if not isinstance(turns, list):
                raise DamagedRowError("no list 'conversations'")
            context = asked = answered = 0
            for turn in turns:
                if not isinstance(turn, dict) or not isinstance(turn.get("value"), str):
                    raise DamagedRowError("a turn without text")
                tokens = math.ceil(len(turn["value"]) / chars_per_token)
                if turn.get("from") in ("gpt", "assistant", "bard", "chatgpt", "bing"):
                    if asked and tokens:
                        answered += 1
                        name = f"{talk.get('id', index)}@{index}"
                        builder.add(
                            time_s=0.0, prompt_tokens=context, output_tokens=tokens, session=name
                        )
                    asked = 0
                else:
                    asked += tokens
                context += tokens
            if not answered:
                raise DamagedRowError("no question with an answer")
    builder.notes.append(
        f"lengths are characters / {chars_per_token:g}: the file has text, no tokens"
    )
    progress(1.0)
    return builder.build()


def _metric(metrics: dict[str, Any], *names: str) -> int:
    value = field(metrics, *names)
    return whole(value.get("value") if isinstance(value, dict) else value, names[0])


def _spans(
    path: Path, builder: TraceBuilder, progress: Progress
) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, (where, batch) in enumerate(_batches(path, builder, progress)):
        for resource in batch.get("resourceSpans") or ():
            for group in resource.get("scopeSpans") or resource.get("spans") or ():
                for index, span in enumerate(group.get("spans") or ()):
                    yield f"{where} span {index}" if where else f"batch {place} span {index}", span


def _batches(
    path: Path, builder: TraceBuilder, progress: Progress
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the file's one value, or that of each line if every line is a value of its own."""
    first = next(text_lines(path), None)
    if first is None:
        raise TraceError(f"{path}: the file is empty")
    try:
        one_a_line = isinstance(json.loads(first[1]), dict)
    except (ValueError, RecursionError):
        one_a_line = False
    if one_a_line:
        yield from json_rows(path, builder, progress)
        return
    data = json_value(path)
    for batch in data if isinstance(data, list) else [data]:
        if isinstance(batch, dict):
            yield "", batch


def _attributes(span: dict[str, Any]) -> dict[str, Any]:
    """Flatten OTLP's list of keys and typed values."""
    found: dict[str, Any] = {}
    pairs = span.get("attributes") or []
    if isinstance(pairs, dict):
        return pairs
    for pair in pairs:
        value = pair.get("value")
        if isinstance(value, dict) and value:
            value = next(iter(value.values()))
        found[pair.get("key", "")] = value
    return found
