"""The rows that a run appends while it goes on; nothing is computed here.

Rows are plain tuples in the order of the `*_COLUMNS` beside them, so that
recording costs an append and tables can be made after the run, or never.
"""

from dataclasses import dataclass, field
from typing import Literal

from kvsim.workload.request import Request

TierName = Literal["hbm", "cpu", "remote"]
Direction = Literal["read", "write"]

StepRow = tuple[int, float, int, float, int, int, int, float, float]
STEP_COLUMNS = (
    "instance",
    "start_s",
    "num_steps",
    "end_s",
    "decodes",
    "context_tokens",
    "prefill_tokens",
    "load_s",
    "store_s",
)
TransferRow = tuple[int, str, str, int, int, float, float, float]
TRANSFER_COLUMNS = (
    "instance",
    "tier",
    "direction",
    "n_bytes",
    "objects",
    "asked_s",
    "started_s",
    "finished_s",
)
SESSION_COLUMNS = ("time_s", "live")


@dataclass(slots=True)
class Recorder:
    """Everything that one run remembers."""

    requests: list[Request] = field(default_factory=list)
    """Each request that reached the router, in that order, warm-ups included."""
    steps: list[StepRow] = field(default_factory=list)
    transfers: list[TransferRow] = field(default_factory=list)
    sessions: list[tuple[float, int]] = field(default_factory=list)
    """(instant, live sessions from then on), a row a change."""

    def step(
        self,
        instance: int,
        start_s: float,
        num_steps: int,
        end_s: float,
        decodes: int,
        context_tokens: int,
        prefill_tokens: int,
        load_s: float,
        store_s: float,
    ) -> None:
        """Add a run of equal engine steps; `context_tokens` are those of its first step."""
        self.steps.append(
            (
                instance,
                start_s,
                num_steps,
                end_s,
                decodes,
                context_tokens,
                prefill_tokens,
                load_s,
                store_s,
            )
        )

    def transfer(
        self,
        instance: int,
        tier: str,
        direction: str,
        n_bytes: int,
        objects: int,
        asked_s: float,
        started_s: float,
        finished_s: float,
        count: int = 1,
    ) -> None:
        """Add a finished movement between an instance and a tier, or several equal ones."""
        row = (instance, tier, direction, n_bytes, objects, asked_s, started_s, finished_s)
        self.transfers.extend((row,) * count)

    def live_sessions(self, time_s: float, live: int) -> None:
        """Note how many sessions are live from an instant on."""
        self.sessions.append((time_s, live))
