"""How full a tier was: a time-weighted mean without a sampling loop."""

from __future__ import annotations


class Usage:
    """Integrate a level that holds from each note to the next."""

    def __init__(self) -> None:
        self.peak = 0
        self._level = 0
        self._since_s = 0.0
        self._area = 0.0

    def note(self, now_s: float, level: int) -> None:
        """Say what the level is from now on."""
        self._area += self._level * (now_s - self._since_s)
        self._since_s = now_s
        self._level = level
        self.peak = max(self.peak, level)

    def mean(self, end_s: float) -> float:
        """Give the mean level from time 0 to `end_s`."""
        return (self._area + self._level * (end_s - self._since_s)) / end_s if end_s > 0 else 0.0
