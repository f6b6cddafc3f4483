"""One row for each run of equal engine steps, the same however the engine took them."""

from __future__ import annotations

from kvsim.engine.sequence import Step
from kvsim.metrics.recorder import Recorder


class StepRows:
    """Write a row for each run of decode steps over the same requests, and each other step."""

    def __init__(self, recorder: Recorder, instance: int) -> None:
        self._recorder = recorder
        self._instance = instance
        self._open: list[float] | None = None  # start_s, end_s, num_steps, decodes, context_tokens

    def add(self, step: Step, start_s: float, load_s: float, store_s: float) -> None:
        if not step.chunks and not step.stores and not step.loads:
            self.add_run(
                start_s,
                step.gpu_end_s,
                num_steps=1,
                decodes=step.decodes,
                context_tokens=step.context_tokens,
            )
            return
        self.flush()
        prefill_tokens = sum(n for _, n in step.chunks)
        self._recorder.step(
            self._instance,
            start_s,
            1,
            step.gpu_end_s,
            step.decodes,
            step.context_tokens,
            prefill_tokens,
            load_s,
            store_s,
        )

    def add_run(
        self, start_s: float, end_s: float, *, num_steps: int, decodes: int, context_tokens: int
    ) -> None:
        row = self._open
        if row is not None and row[3] == decodes and context_tokens == row[4] + row[2] * decodes:
            row[1] = end_s
            row[2] += num_steps
            return
        self.flush()
        self._open = [start_s, end_s, num_steps, decodes, context_tokens]

    def flush(self) -> None:
        if self._open is not None:
            start_s, end_s, num_steps, decodes, context_tokens = self._open
            self._recorder.step(
                self._instance,
                start_s,
                int(num_steps),
                end_s,
                int(decodes),
                int(context_tokens),
                0,
                0.0,
                0.0,
            )
            self._open = None
