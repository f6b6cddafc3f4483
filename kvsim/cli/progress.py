"""One progress bar for all commands that run many runs; it goes to stderr."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def progress_bar(*, transient: bool = False) -> Progress:
    """Return a bar that shows how many are done, the time taken and the time left.

    A transient one is gone when the answer is printed, and is not shown but in a terminal.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    hidden = transient and not console.is_terminal
    return Progress(*columns, *times, console=console, transient=transient, disable=hidden)
