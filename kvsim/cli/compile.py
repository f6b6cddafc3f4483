"""`kvsim compile`: the simulator's heart as machine code."""

import time

import typer


def compile_heart() -> None:
    """Compile the simulator's heart with mypyc: the same results in about half the time.

    It needs a C compiler and kvsim[compile], and takes about a minute. Where the sources change,
    they are used until they are compiled again; KVSIM_COMPILED=0 always uses the sources.

    Example: kvsim compile
    """
    from rich.console import Console

    from kvsim.compiled import build_folder
    from kvsim.compiled.build import build

    if build_folder().is_dir():
        typer.echo("compiled already: this code, for this Python")
        return
    begun_s = time.monotonic()
    console, words = Console(stderr=True), "compiling the simulator's heart: about a minute"
    if not console.is_terminal:
        console.print(words)
    with console.status(words):
        folder = build()
    typer.echo(f"compiled in {time.monotonic() - begun_s:.0f} s: {folder}")
