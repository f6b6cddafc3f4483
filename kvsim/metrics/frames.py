"""The frames that every run has, simulated or measured, made when they are first asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

from kvsim.metrics.tables import to_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import pyarrow as pa  # type: ignore[import-untyped]


class Frames(ABC):
    """What charts and comparisons read of a run; its tables come from `_tables`."""

    @property
    @abstractmethod
    def _tables(self) -> Mapping[str, pa.Table]: ...

    @cached_property
    def requests(self) -> pd.DataFrame:
        """A row a request, warm-ups included: ids, instants, outcome, tokens by source, parts."""
        return to_frame(self._tables["requests"])

    @cached_property
    def steps(self) -> pd.DataFrame:
        """A row a run of equal engine steps."""
        return to_frame(self._tables["steps"])

    @cached_property
    def transfers(self) -> pd.DataFrame:
        """A row a finished movement between an instance and a tier."""
        return to_frame(self._tables["transfers"])
