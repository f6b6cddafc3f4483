"""The progress bars of all commands; they go to stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Report(Protocol):
    """Takes how many are done, and of how many; without a number one more is done."""

    def __call__(self, done: int | None = None, total: int | None = None) -> None:
        """Move the bar."""


@contextmanager
def count_bar(what: str, *, transient: bool = True) -> Iterator[Report]:
    """Show while a block runs how many are done, the time taken and the time left.

    A transient bar is gone when the answer is printed, and is not shown but in a terminal.
    """

    def report(done: int | None = None, total: int | None = None) -> None:
        one_more = 1 if done is None else None
        bar.update(task, completed=done, advance=one_more, total=total)

    with _bar(MofNCompleteColumn(), transient=transient) as bar:
        task = bar.add_task(what, total=None)
        yield report


@contextmanager
def part_bar(what: str) -> Iterator[Callable[[float], None]]:
    """Show in a terminal, while a block runs, what part of it is done, from 0 to 1."""
    with _bar(TaskProgressColumn(), transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda done: bar.update(task, completed=done)


def _bar(amount: ProgressColumn, *, transient: bool) -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), amount)
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    hidden = transient and not console.is_terminal
    return Progress(*columns, *times, console=console, transient=transient, disable=hidden)
