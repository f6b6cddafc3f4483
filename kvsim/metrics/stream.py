"""Tables that are written while a run goes on, a row group at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvsim.metrics.recorder import ROW_GROUP
from kvsim.metrics.tables import COMPRESSION, make_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    from kvsim.metrics.recorder import Recorder

STREAMED = ("requests", "steps", "transfers")


class TableStream:
    """Write the long tables of a run into a folder, to the same bytes as if all at its end."""

    def __init__(self, folder: Path, *, tenants: bool = False) -> None:
        self._folder = folder
        self._tenants = tenants
        self._writers: dict[str, pq.ParquetWriter] = {}

    def take(self, name: str, rows: Sequence[Any]) -> None:
        """Write the next rows of a table."""
        import pyarrow.parquet as pq

        table = make_table(name, rows, tenants=self._tenants)
        writer = self._writers.get(name)
        if writer is None:
            path = self._folder / f"{name}.parquet"
            writer = pq.ParquetWriter(path, table.schema, compression=COMPRESSION)
            self._writers[name] = writer
        writer.write_table(table, row_group_size=ROW_GROUP)

    def finish(self, recorder: Recorder) -> None:
        """Write the rows that no full group came of."""
        rows: tuple[Sequence[Any], ...] = (
            recorder.requests,
            recorder.steps,
            recorder.transfers,
        )
        for name, left in zip(STREAMED, rows, strict=True):
            if left or name not in self._writers:
                self.take(name, left)

    def __enter__(self) -> TableStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for writer in self._writers.values():
            writer.close()
