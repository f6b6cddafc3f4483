"""Stand-ins for vLLM's V1 scheduler, as far as the probe looks at it; vLLM is too large for CI.

0.24: `running`, one `waiting` queue, preempted requests back at its front. 0.33 adds queues of
requests that are set aside or whose KV has been loaded, an argument of schedule(), a second one of
_free_request(), and the request's count of external tokens. Both advance `num_computed_tokens`
inside schedule(), as vLLM does. Classes are made anew for each test: the probe changes them for
good.
"""

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

VLLM = tuple[type[Any], type[Any]]


class Request:
    """A request of 0.24."""

    def __init__(self, request_id: str, prompt: int, output: int) -> None:
        self.request_id = request_id
        self.num_prompt_tokens = prompt
        self.max_tokens = output
        self.num_computed_tokens = 0
        self.num_output_tokens = 0
        self.num_preemptions = 0

    @property
    def num_tokens(self) -> int:
        return self.num_prompt_tokens + self.num_output_tokens


class LaterRequest(Request):
    """A request of 0.33."""

    num_external_computed_tokens = 7


def scheduler_0_24() -> type[Any]:
    class Scheduler:
        """Serve requests in order, `budget` tokens a step."""

        def __init__(self, *, budget: int = 8192, cached: int = 0) -> None:
            self.requests: dict[str, Any] = {}
            self.running: list[Any] = []
            self.waiting: deque[Any] = deque()
            self.budget = budget
            self.cached = cached
            pool = SimpleNamespace(get_num_free_blocks=lambda: 1000 - len(self.running))
            self.kv_cache_manager = SimpleNamespace(block_pool=pool)

        def add_request(self, request: Any) -> None:
            self.requests[request.request_id] = request
            self.waiting.append(request)

        def schedule(self) -> Any:
            scheduled: dict[str, int] = {}
            budget = self.budget
            for request in self.running:
                want = max(request.num_tokens - request.num_computed_tokens, 1)
                scheduled[request.request_id] = min(want, budget)
                budget -= scheduled[request.request_id]
            while self.waiting and budget > 0:
                request = self.waiting.popleft()
                request.num_computed_tokens = min(self.cached, request.num_tokens - 1)
                want = request.num_tokens - request.num_computed_tokens
                scheduled[request.request_id] = min(want, budget)
                budget -= scheduled[request.request_id]
                self.running.append(request)
            for name, tokens in scheduled.items():
                self.requests[name].num_computed_tokens += tokens
            return SimpleNamespace(num_scheduled_tokens=scheduled)

        def update_from_output(self, scheduler_output: Any, model_runner_output: Any) -> Any:
            for name in scheduler_output.num_scheduled_tokens:
                request = self.requests.get(name)
                if request is None or request.num_computed_tokens < request.num_prompt_tokens:
                    continue
                request.num_output_tokens += 1
                if request.num_output_tokens >= request.max_tokens:
                    self.running.remove(request)
                    self._free_request(request)
            return {0: "outputs"}

        def preempt_last(self) -> None:
            request = self.running.pop()
            request.num_computed_tokens = 0
            request.num_preemptions += 1
            self.waiting.appendleft(request)

        def finish_requests(self, request_ids: Any, finished_status: Any) -> None:
            for name in request_ids:
                request = self.requests[name]
                (self.running if request in self.running else self.waiting).remove(request)
                self._free_request(request)

        def _free_request(self, request: Any) -> Any:
            del self.requests[request.request_id]
            return {"freed": request.request_id}

    return Scheduler


def scheduler_0_33() -> type[Any]:
    earlier = scheduler_0_24()

    class Scheduler(earlier):  # type: ignore[misc, valid-type]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.skipped_waiting: deque[Any] = deque()
            self.kv_holding: deque[Any] = deque()

        def schedule(self, throttle_prefills: bool = False) -> Any:
            return super().schedule()

        def _free_request(self, request: Any, delay_free_blocks: bool = False) -> Any:
            return super()._free_request(request)

    return Scheduler


@pytest.fixture(params=["0.24", "0.33"])
def vllm(request: pytest.FixtureRequest) -> VLLM:
    """Give the scheduler's and the request's class of one version."""
    if request.param == "0.24":
        return scheduler_0_24(), Request
    return scheduler_0_33(), LaterRequest
