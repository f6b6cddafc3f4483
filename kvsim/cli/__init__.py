"""The command line: results to stdout, progress to stderr, one line an error.

Commands import what they need inside their functions, so that `--help` and `run --json` start fast.
"""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from kvsim import __version__
from kvsim.cli.breakeven import breakeven
from kvsim.cli.calibrate import calibrate
from kvsim.cli.compare import compare
from kvsim.cli.compile import compile_heart
from kvsim.cli.dashboard import dashboard
from kvsim.cli.deploy import deploy
from kvsim.cli.explain import explain
from kvsim.cli.profiles import profiles
from kvsim.cli.recommend import recommend
from kvsim.cli.replay import replay
from kvsim.cli.report import report
from kvsim.cli.run import run
from kvsim.cli.search import search
from kvsim.cli.sensitivity import sensitivity
from kvsim.cli.size import size
from kvsim.cli.sweep import sweep
from kvsim.cli.trace import app as trace_app
from kvsim.cli.trace_hits import hits
from kvsim.cli.validate import validate
from kvsim.errors import KvsimError, SimulationError

app = typer.Typer(
    name="kvsim",
    help="Simulate tiered KV-cache offload of LLM serving.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    run,
    sweep,
    report,
    profiles,
    compare,
    replay,
    calibrate,
    size,
    breakeven,
    search,
    recommend,
    deploy,
    explain,
    sensitivity,
    validate,
):
    app.command()(command)
app.command("app")(dashboard)
app.command("compile")(compile_heart)
trace_app.command()(hits)
app.add_typer(trace_app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kvsim {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Simulate tiered KV-cache offload of LLM serving (vLLM + LMCache)."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    words = list(sys.argv[1:] if args is None else args) or ["--help"]
    try:
        code = app(words, prog_name="kvsim", standalone_mode=False)
    except TyperException as error:
        return _fail(f"{error.format_message()} (kvsim --help lists commands and options)")
    except KvsimError as error:
        return _fail(str(error), code=1 if isinstance(error, SimulationError) else 2)
    except OSError as error:
        return _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", code=1)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", code=130)
    return int(code or 0)


def entry() -> None:
    """Run the command line and leave the process with its exit code."""
    sys.exit(main())


def _fail(message: str, *, code: int = 2) -> int:
    line = " ".join(message.split())
    typer.echo(f"kvsim: {line}", err=True)
    return code
