"""`kvsim app`: the dashboard in a browser."""

import signal
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer


def dashboard(
    port: Annotated[
        int, typer.Option("--port", min=1, max=65_535, help="Port that the server listens on.")
    ] = 8501,
    address: Annotated[
        str, typer.Option("--address", help="Address that it listens on; 0.0.0.0: all of them.")
    ] = "localhost",
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser window.")
    ] = True,
) -> int:
    """Open the dashboard: what-ifs, plans, calibration.

    Example: kvsim app --port 8600
    """
    words = ["-m", "streamlit", "run", str(entry_script())]
    words += ["--server.port", str(port), "--server.address", address]
    words += ["--server.headless", str(not browser).lower()]
    with subprocess.Popen([sys.executable, *words]) as server:
        # Whoever stops this process means the server; it would go on by itself.
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        return server.wait()


def entry_script() -> Path:
    """Return the script that has the theme beside it: of a checkout, or of the package."""
    package = Path(str(resources.files("kvsim")))
    checkout = package.parent / "app.py"
    is_checkout = checkout.is_file() and (package.parent / ".streamlit").is_dir()
    return checkout if is_checkout else package / "app" / "serve.py"
