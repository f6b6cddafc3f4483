"""Requests as rows, and a scenario to hang a result on."""

from collections.abc import Callable

import pytest

from kvsim.workload.request import NO_END, Request


def make_request(request_id: int = 0, **changes: object) -> Request:
    """Return a finished request of 1 s queue, 0.5 s load, 1 s prefill and 2 s decode."""
    start_s = changes.pop("arrival_s", 0.0)
    assert isinstance(start_s, float | int)
    values: dict[str, object] = {
        "session_id": 1,
        "round_index": 1,
        "prompt_tokens": 1000,
        "output_tokens": 101,
        "path": ((0, NO_END),),
        "warmup": False,
        "arrival_s": start_s,
        "instance": 0,
        "engine_s": start_s + 0.25,
        "scheduled_s": start_s + 1.0,
        "first_token_s": start_s + 2.5,
        "finished_s": start_s + 4.5,
        "load_s": 0.5,
        "computed_tokens": 232,
        "hit_tokens_hbm": 512,
        "hit_tokens_cpu": 256,
        "outcome": "finished",
    }
    return Request(request_id=request_id, **(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def request_of() -> Callable[..., Request]:
    return make_request
