"""A connector for tests of the scheduler alone."""

from __future__ import annotations

from kvsim.engine.sequence import Load, Sequence


class FreeConnector:
    """Offload nothing, at no cost."""

    def match(self, sequence: Sequence, local_tokens: int) -> int:
        return 0

    def allocated(self, sequence: Sequence, local_tokens: int, external_tokens: int) -> Load | None:
        return None

    def preempted(self, sequence: Sequence) -> None:
        """Keep nothing."""

    def take_host_s(self) -> float:
        return 0.0
