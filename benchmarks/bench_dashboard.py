"""Print how soon the dashboard answers in Chromium: python benchmarks/bench_dashboard.py.

Best of some visits, each from its navigation on: a fresh browser profile after the server said it
was ready, and a profile that has been there. Then best of some moves of sliders, each from the key
to changed figures. With what the server's processor did for it, and the load of the machine.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvsim.report.png import find_browser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
PARTS = ("boot", "verdict", "figures", "inputs", "charts")
WATCH = """(() => {
    const parts = {
        boot: '[data-testid=stApp]',
        verdict: 'h4',
        figures: '[data-testid=stMetricValue]',
        inputs: '[data-testid=stSidebar] [data-testid=stSelectbox]',
        charts: '.js-plotly-plot .main-svg .xtick',
    };
    window.seen = {};
    new MutationObserver(() => {
        for (const [name, selector] of Object.entries(parts))
            if (!(name in window.seen) && document.querySelector(selector))
                window.seen[name] = performance.now();
    }).observe(document, {subtree: true, childList: true});
})();"""
"""Notes when the parts of the first screen appear, in ms after the navigation."""
MOVED = """before => {
    const shown = [...document.querySelectorAll('[data-testid=stMetric]')];
    return shown.map(each => each.innerText).join() !== before;
}"""
FIGURES = (
    "[...document.querySelectorAll('[data-testid=stMetric]')].map(each => each.innerText).join()"
)
SLIDERS = ("Context of a user", "Users at a time", "CPU memory per rank", "Store: read bandwidth")


@contextmanager
def served() -> Iterator[tuple[str, int]]:
    """Serve the dashboard; give its address and process once it is ready."""
    with closing(socket.socket()) as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    words = ["streamlit", "run", str(ROOT / "app.py"), "--server.headless", "true"]
    begun_s = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", *words, "--server.port", str(port), "--server.address", "localhost"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://localhost:{port}"
        ready = False
        while not ready:
            with suppress(OSError), urllib.request.urlopen(f"{address}/_stcore/health", timeout=60):
                ready = True
            time.sleep(0.02)
        wall_s = time.perf_counter() - begun_s
        say(f"server ready after {wall_s:.1f} s, {cpu_s(server.pid):.1f} s of processor")
        yield address, server.pid
    finally:
        server.terminate()
        server.wait(10)


def cpu_s(process: int) -> float:
    """Return the processor time of a process (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def visit(page: Any, address: str, server: int) -> tuple[dict[str, float], float]:
    """Open the page; give when its parts appeared, and the server's work up to the charts."""
    page.add_init_script(WATCH)
    before_s = cpu_s(server)
    page.goto(address, wait_until="commit")
    page.wait_for_function("window.seen && window.seen.charts", timeout=60_000)
    seen = page.evaluate("window.seen")
    return {name: ms / 1e3 for name, ms in seen.items()}, cpu_s(server) - before_s


def move(page: Any, label: str, server: int) -> tuple[float, float]:
    """Move a slider by one stop; give the time until the figures are others, and the server's."""
    settle(page)
    slider = page.get_by_test_id("stSlider").filter(has_text=label).get_by_role("slider")
    slider.focus()
    before = page.evaluate(FIGURES)
    begun_s, before_s = time.perf_counter(), cpu_s(server)
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(MOVED, arg=before)
    return time.perf_counter() - begun_s, cpu_s(server) - before_s


def settle(page: Any) -> None:
    page.wait_for_timeout(300)
    page.wait_for_function(
        "!document.querySelector('[data-testid=stApp][data-test-script-state=running]')"
    )
    page.wait_for_timeout(300)


def say(words: str) -> None:
    print(words, flush=True)  # noqa: T201


def show(label: str, found: Sequence[tuple[dict[str, float], float]]) -> None:
    best = {name: min(seen[name] for seen, _ in found) for name in PARTS}
    server_s = min(spent_s for _, spent_s in found)
    load = os.getloadavg()[0]
    figures = "".join(f"{best[name]:>9.2f}" for name in PARTS)
    say(f"{label:<24}{figures}{server_s:>9.2f}{load:>7.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    rounds = parser.parse_args().rounds
    from playwright.sync_api import sync_playwright

    size = {"width": 1280, "height": 900}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        with served() as (address, server):
            header = "".join(f"{name:>9}" for name in (*PARTS, "server"))
            say(f"{'s':<24}{header}{'load':>7}")
            first = browser.new_context(viewport=size)
            show("first visit", [visit(first.new_page(), address, server)])
            fresh = [browser.new_context(viewport=size) for _ in range(rounds)]
            show("fresh profiles", [visit(one.new_page(), address, server) for one in fresh])
            again = [visit(first.new_page(), address, server) for _ in range(rounds)]
            show("known profile", again)
            page = first.new_page()
            visit(page, address, server)
            say(f"\n{'s':<24}{'figures':>9}{'server':>9}{'load':>7}")
            for label in SLIDERS:
                wall_s, spent_s = zip(
                    *(move(page, label, server) for _ in range(rounds)), strict=True
                )
                load = os.getloadavg()[0]
                say(f"{label:<24}{min(wall_s):>9.2f}{min(spent_s):>9.2f}{load:>7.1f}")
        browser.close()


if __name__ == "__main__":
    main()
