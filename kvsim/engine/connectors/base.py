"""What the scheduler asks of a KV connector, and the connector that offloads nothing."""

from __future__ import annotations

from typing import Protocol

from kvsim.engine.sequence import Load, Sequence
from kvsim.spec import HostSpec


class Connector(Protocol):
    """vLLM's scheduler-side connector hooks (`KVConnectorBase_V1`), and the time they take."""

    def match(self, sequence: Sequence, local_tokens: int) -> int:
        """Say how many more tokens a load would bring (`get_num_new_matched_tokens`)."""

    def allocated(self, sequence: Sequence, local_tokens: int, external_tokens: int) -> Load | None:
        """Take note of an admission and return its load, if any (`update_state_after_alloc`)."""

    def preempted(self, sequence: Sequence) -> None:
        """Forget a request that goes back to the line."""

    def take_host_s(self) -> float:
        """Hand over the seconds that `schedule()` spent since the last call."""


class NoConnector:
    """Offload nothing: prefixes live in the GPU's own pool only."""

    def __init__(self, host: HostSpec) -> None:
        self._host = host
        self._seen: set[int] = set()
        self._host_s = 0.0

    def match(self, sequence: Sequence, local_tokens: int) -> int:
        if sequence.request_id not in self._seen:
            self._seen.add(sequence.request_id)
            schedule = self._host.schedule
            self._host_s += schedule.admit_fixed + schedule.admit_per_token * sequence.num_tokens
        return 0

    def allocated(self, sequence: Sequence, local_tokens: int, external_tokens: int) -> Load | None:
        self._seen.discard(sequence.request_id)
        return None

    def preempted(self, sequence: Sequence) -> None:
        """Keep nothing that could be forgotten."""

    def take_host_s(self) -> float:
        host_s, self._host_s = self._host_s, 0.0
        return self._host.schedule.decode + host_s
