"""What a summary needs of requests, as columns: some hundred bytes a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvsim.workload.request import Request

Columns = Mapping[str, NDArray[Any]]

TOKEN_SUMS = (
    "prompt_tokens",
    "computed_tokens",
    "hit_tokens_hbm",
    "hit_tokens_cpu",
    "hit_tokens_remote",
    "recomputed_elsewhere_tokens",
    "recomputed_evicted_tokens",
)
_INSTANTS = ("arrival_s", "scheduled_s", "first_token_s", "finished_s", "load_s")
_COUNTS = ("output_tokens", "preemptions", *TOKEN_SUMS)
_fields = attrgetter("outcome", "instance", "tenant", *_INSTANTS, *_COUNTS)


def request_columns(requests: Iterable[Request]) -> Columns:
    """Return the columns of requests, warm-ups left out; a missing instant is NaN."""
    rows = [_fields(request) for request in requests if not request.warmup]
    outcomes, instances, tenants, *values = (
        zip(*rows, strict=True) if rows else [()] * (len(_INSTANTS) + len(_COUNTS) + 3)
    )
    columns: dict[str, NDArray[Any]] = {
        "finished": np.array([outcome == "finished" for outcome in outcomes], dtype=bool),
        "failed": np.array([outcome in ("failed", "rejected") for outcome in outcomes], dtype=bool),
        "tenant": np.array(tenants, dtype=object),
        "instance": np.array([-1 if i is None else i for i in instances], dtype=np.int32),
    }
    for name, column in zip(_INSTANTS + _COUNTS, values, strict=True):
        columns[name] = np.array(column, dtype=float if name in _INSTANTS else np.int64)
    return columns


def join_columns(parts: Sequence[Columns]) -> Columns:
    """Put columns of one part of the requests after those of the part before it."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
