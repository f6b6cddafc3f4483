"""Traces with prefix hashes: Mooncake, LMCache's look-up log, token ids of LLMServingSim."""

from __future__ import annotations

from pathlib import Path

from kvsim.errors import TraceError
from kvsim.workload.traces.build import DamagedRowError, TraceBuilder, all_whole, seconds, whole
from kvsim.workload.traces.files import Progress, field, json_rows
from kvsim.workload.traces.trace import Trace

MOONCAKE_TOKENS = 512
TOKEN_ID_BLOCK = 16
"""Grain at which prompts given as token ids are compared: vLLM's block."""


def read_mooncake(
    path: Path, progress: Progress, *, strict: bool, hash_tokens: int | None
) -> Trace:
    """Read Mooncake's JSONL: timestamp (ms), input_length, output_length, hash_ids.

    AIPerf's additions are read too: `session_id`, and `delay` (ms) since the answer before; and
    `tenant`, which is kvsim's own. A
    comment line `{"block_size": n}` at the top, as some converters write, gives the grain.
    """
    grain = hash_tokens or MOONCAKE_TOKENS
    builder = TraceBuilder(str(path), "mooncake", hash_tokens=grain, strict=strict)
    for where, row in json_rows(path, builder, progress):
        if "input_length" not in row and "block_size" in row and hash_tokens is None:
            builder.hash_tokens = _block_size(path, where, row["block_size"], builder)
            continue
        with builder.row(where):
            ids = field(row, "hash_ids")
            if not isinstance(ids, list):
                raise DamagedRowError("hash_ids is not a list")
            delay = row.get("delay")
            session, tenant = row.get("session_id"), row.get("tenant")
            builder.add(
                time_s=seconds(field(row, "timestamp"), "timestamp", per_second=1e3),
                prompt_tokens=field(row, "input_length"),
                output_tokens=field(row, "output_length"),
                session=None if session is None else str(session),
                tenant=None if tenant is None else str(tenant),
                think_time_s=(
                    float("nan") if delay is None else seconds(delay, "delay", per_second=1e3)
                ),
                hash_ids=ids,
            )
    return builder.build()


def _block_size(path: Path, where: str, value: object, builder: TraceBuilder) -> int:
    """Read the comment that names the grain; a wrong one would misread every row."""
    try:
        grain = whole(value, "block_size", least=1)
    except DamagedRowError as error:
        raise TraceError(f"{path}: {where}: {error}; give --hash-tokens") from None
    if len(builder) and grain != builder.hash_tokens:
        raise TraceError(
            f"{path}: {where}: block_size {grain} after requests of {builder.hash_tokens}; "
            "cut the file in two, or give --hash-tokens"
        )
    return grain


def read_lmcache(
    path: Path, progress: Progress, *, strict: bool, answer_tokens: int | None
) -> Trace:
    """Read `lookup_hashes_*.jsonl`, or a folder of them, as `--lookup-hash-log-dir` writes it.

    Each line is one look-up: timestamp (s), seq_len, chunk_size, chunk_hashes of full chunks. A
    look-up does not know its answer, so all answers have the length that the user gives.
    """
    files = sorted(path.glob("lookup_hashes_*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise TraceError(f"{path}: no lookup_hashes_*.jsonl in this folder")
    if answer_tokens is None:
        raise TraceError(
            f"{path}: LMCache's look-ups do not say how long the answers are; give a length "
            "(workload.answer_tokens, --answer-tokens)"
        )
    builder = TraceBuilder(str(path), "lmcache", strict=strict, from_zero=True)
    for index, file in enumerate(files):
        label = f"{file.name} " if len(files) > 1 else ""

        def part(done: float, index: int = index) -> None:
            progress((index + done) / len(files))

        for where, row in json_rows(file, builder, part):
            with builder.row(label + where):
                grain = whole(field(row, "chunk_size"), "chunk_size", least=1)
                if builder.hash_tokens not in (0, grain):
                    raise DamagedRowError(f"chunk_size {grain} after {builder.hash_tokens}")
                builder.hash_tokens = grain
                hashes = row.get("chunk_hashes") or []
                if not isinstance(hashes, list):
                    raise DamagedRowError("chunk_hashes is not a list")
                builder.add(
                    time_s=field(row, "timestamp"),
                    prompt_tokens=field(row, "seq_len"),
                    output_tokens=answer_tokens,
                    scope=str(row.get("model_name", "")),
                    hash_ids=[builder.known(str(text)) for text in hashes],
                )
    builder.notes.append(f"answers of {answer_tokens} tokens assumed: the log has no lengths")
    return builder.build()


def read_llmservingsim(path: Path, progress: Progress, *, strict: bool) -> Trace:
    """Read LLMServingSim's JSONL: input_toks, output_toks, arrival_time_ns, maybe input_tok_ids.

    Token ids give exact prefixes: each full 16-token block gets an id of its own.
    """
    builder = TraceBuilder(str(path), "llmservingsim", strict=strict)
    for where, row in json_rows(path, builder, progress):
        with builder.row(where):
            tokens = row.get("input_tok_ids")
            prompt = field(row, "input_toks")
            ids: list[int] = []
            if tokens is not None:
                if not isinstance(tokens, list) or len(tokens) != prompt:
                    raise DamagedRowError("input_tok_ids are not as many as input_toks")
                if not all_whole(tokens):
                    raise DamagedRowError("input_tok_ids are not whole numbers")
                builder.hash_tokens = TOKEN_ID_BLOCK
                before = -1
                for start in range(0, len(tokens) - TOKEN_ID_BLOCK + 1, TOKEN_ID_BLOCK):
                    block = tuple(tokens[start : start + TOKEN_ID_BLOCK])
                    before = builder.known((before, block))
                    ids.append(before)
            elif builder.hash_tokens:
                raise DamagedRowError("no input_tok_ids, which other rows have")
            builder.add(
                time_s=seconds(field(row, "arrival_time_ns"), "arrival_time_ns", per_second=1e9),
                prompt_tokens=prompt,
                output_tokens=field(row, "output_toks"),
                hash_ids=ids,
            )
    return builder.build()
