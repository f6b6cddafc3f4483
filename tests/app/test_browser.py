"""The dashboard in a real Chromium, on a desk and on a phone; screenshots are kept.

One server for all tests of this module. Without Chromium they are skipped.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from kvsim.app import link
from kvsim.app.presets import load_preset
from kvsim.report.png import find_browser

ROOT = Path(__file__).parents[2]
QUICK = "Measured: cpu40GB_131k_pool"
RUN = ROOT / "experiments" / "validation" / "runs" / "gpu_only_131k_pool__qa10k"
SHOTS = Path(os.environ.get("KVSIM_SCREENSHOTS", ROOT / "results" / "screenshots"))
CHROMIUM = find_browser()
ANSWER_MS = 60_000
ORDER = """(() => {
    const parts = {
        verdict: 'h4',
        figures: '[data-testid=stMetricValue]',
        inputs: '[data-testid=stSidebar] [data-testid=stSelectbox]',
        charts: '.js-plotly-plot',
    };
    window.order = [];
    new MutationObserver(() => {
        for (const [name, selector] of Object.entries(parts))
            if (!window.order.includes(name) && document.querySelector(selector)?.innerText)
                window.order.push(name);
    }).observe(document, {subtree: true, childList: true, characterData: true});
})();"""
"""Notes in which order the parts of the first screen come."""
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 420, "height": 900}

pytestmark = [
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on the PATH"),
]


@contextmanager
def served(**environment: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve the dashboard on a free port; give its address and process."""
    with closing(socket.socket()) as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "kvsim", "app", "--no-browser", "--port", str(port)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    where = f"http://localhost:{port}"
    try:
        for _ in range(150):
            try:
                with urllib.request.urlopen(f"{where}/_stcore/health", timeout=1):
                    break
            except OSError:
                time.sleep(0.2)
        yield where, server
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served() as (where, _):
        yield where


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                # A page that the test has touched counts as one from outside.
                "--disable-features=LocalNetworkAccessChecks",
            ],
        )
        yield browser
        browser.close()


class Visit:
    """One visitor's page, which must not complain."""

    def __init__(self, chromium: Any, size: dict[str, int], scheme: str = "light") -> None:
        phone = size is PHONE
        self.context = chromium.new_context(
            viewport=size,
            color_scheme=scheme,
            accept_downloads=True,
            has_touch=phone,
            is_mobile=phone,
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(ANSWER_MS)
        self.complaints: list[str] = []
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _on_console(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.metric("Requests/s").wait_for()
        self.page.get_by_test_id("stButtonGroup").wait_for()
        self.settle()

    def metric(self, label: str) -> Any:
        return self.page.get_by_test_id("stMetric").filter(has_text=label)

    def verdict(self) -> str:
        return str(self.page.locator("h4").first.inner_text())

    def settle(self) -> None:
        """Wait until the server has answered and the page stands still."""
        self.page.wait_for_function(
            "!document.querySelector('[data-testid=stApp][data-test-script-state=running]')"
        )
        self.page.wait_for_timeout(300)

    def show(self, name: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(400)
        self.page.screenshot(path=SHOTS / f"{name}.png")

    def choose(self, view: str) -> None:
        self.page.get_by_test_id("stButtonGroup").get_by_text(view, exact=True).click()
        self.settle()

    def end(self) -> None:
        """Leave, and insist that nothing went wrong nor stuck out of the page."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        self.context.close()
        assert wide <= 0, f"the page is {wide} px wider than the screen"
        assert not self.complaints


def test_the_answer_comes_before_inputs_and_charts(chromium: Any, address: str) -> None:
    visit = Visit(chromium, DESK)
    runs: list[Any] = []
    visit.page.on(
        "websocket", lambda socket: socket.on("framesent", lambda sent: runs.append(sent))
    )
    visit.page.add_init_script(ORDER)
    visit.open(address)
    visit.page.locator(".js-plotly-plot").first.wait_for()
    assert visit.page.evaluate("window.order") == ["verdict", "figures", "inputs", "charts"]
    assert len(runs) == 2  # one for the answer, one for what follows it
    assert b"shown" in runs[1]  # asked for by the notice, not by the clock
    visit.end()


def test_inputs_and_charts_come_where_our_script_is_forbidden(chromium: Any, address: str) -> None:
    visit = Visit(chromium, DESK)
    policy = {"content-security-policy": "script-src 'self' 'unsafe-inline' 'unsafe-eval'"}

    def forbid_scripts_of_ours(route: Any) -> None:
        response = route.fetch()
        route.fulfill(response=response, headers=response.headers | policy)

    visit.page.route(f"{address}/", forbid_scripts_of_ours)
    visit.open(f"{address}/")
    visit.page.locator(".js-plotly-plot").first.wait_for()
    assert visit.page.get_by_test_id("stSidebar").get_by_test_id("stSelectbox").count()
    assert visit.complaints
    assert all("blob:" in each for each in visit.complaints)  # only our script was missed
    visit.complaints.clear()
    visit.end()


def test_a_stopped_server_leaves_nothing_behind(chromium: Any, tmp_path: Path) -> None:
    with served(TMPDIR=str(tmp_path)) as (where, server):
        visit = Visit(chromium, DESK)
        visit.page.goto(f"{where}/calibrate")
        visit.page.locator("input[type=file]").set_input_files(RUN / "vllm_args.txt")
        visit.page.get_by_text("no engine_steps.jsonl among the files").wait_for()
        assert list(tmp_path.glob("kvsim-*"))
        server.terminate()
        server.wait(10)
        assert not list(tmp_path.glob("kvsim-*"))
        visit.context.close()


def test_a_desk(chromium: Any, address: str, tmp_path: Path) -> None:
    visit = Visit(chromium, DESK)
    visit.open(address)
    assert "meets TTFT mean" in visit.verdict()
    visit.show("desk-what-if")

    visit.page.get_by_role("button", name="Pin this design").click()
    visit.settle()
    before = visit.metric("TTFT, p95").inner_text()
    slider = visit.page.get_by_test_id("stSlider").filter(has_text="Context of a user")
    slider.get_by_role("slider").focus()
    for _ in range(3):
        visit.page.keyboard.press("ArrowLeft")
    visit.page.wait_for_function(
        "before => ![...document.querySelectorAll('[data-testid=stMetric]')]"
        ".some(metric => metric.innerText === before)",
        arg=before,
    )
    visit.settle()
    shorter = visit.metric("TTFT, p95").inner_text()
    assert shorter != before
    visit.page.get_by_role("button", name="Pin this design").click()
    visit.settle()
    visit.choose("Side by side")
    visit.page.get_by_text("Designs side by side").wait_for()
    visit.show("desk-side-by-side")
    visit.choose("Timeline")
    visit.page.get_by_text("In the system at").wait_for()
    visit.show("desk-timeline")

    visit.page.get_by_role("button", name="Share and take away").click()
    visit.show("desk-share")
    with visit.page.expect_download() as waiting:
        visit.page.get_by_role("button", name="Scenario (YAML)").click()
    waiting.value.save_as(tmp_path / "design.yaml")
    assert "user_history_prompt: 6000" in (tmp_path / "design.yaml").read_text(encoding="utf-8")
    shown = visit.page.get_by_test_id("stCode").filter(has_text="?design=").first.inner_text()
    link = re.sub(r"\s", "", shown)
    words = visit.verdict()
    visit.end()

    other = Visit(chromium, DESK, "dark")
    other.open(link)
    assert other.verdict() == words
    assert other.page.get_by_role("button", name="Unpin all").count() == 0
    other.show("desk-dark-from-link")
    other.end()


def test_pages_on_a_desk(chromium: Any, address: str, tmp_path: Path) -> None:
    visit = Visit(chromium, DESK)
    visit.open(address)
    visit.page.get_by_role("link", name="Plan").click()
    visit.page.get_by_role("heading", name="Plan:").wait_for()
    visit.show("desk-plan")
    visit.page.get_by_role("link", name="Explain").click()
    visit.page.get_by_role("heading", name="Explain:").wait_for()
    visit.page.get_by_text("KV of one token").first.wait_for()
    visit.show("desk-explain")

    archive = tmp_path / "run.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in RUN.iterdir():
            file.write(path, f"my-run/{path.name}")
    visit.page.get_by_role("link", name="Calibrate").click()
    visit.page.get_by_role("heading", name="Calibrate").wait_for()
    visit.page.locator("input[type=file]").set_input_files(archive)
    visit.page.get_by_text("1 run: my-run").wait_for()
    visit.page.get_by_role("button", name="Fit", exact=True).last.click()
    visit.page.get_by_text("What the data cannot tell").wait_for()
    visit.settle()
    visit.show("desk-calibrate")
    visit.end()


def test_a_phone(chromium: Any, address: str) -> None:
    visit = Visit(chromium, PHONE)
    visit.open(address)
    visit.show("phone-what-if")
    visit.choose("Time to first token")
    visit.page.get_by_text("Where the time to first token goes").wait_for()
    icons, title = (
        visit.page.locator(part).first.bounding_box() for part in (".modebar", ".gtitle")
    )
    assert icons["y"] + icons["height"] <= title["y"]
    visit.page.get_by_test_id("stMain").evaluate("page => page.scrollTo(0, 800)")
    visit.show("phone-charts")
    visit.page.get_by_test_id("stExpandSidebarButton").click()
    visit.page.get_by_text("Context of a user, tokens").wait_for()
    visit.show("phone-inputs")
    visit.end()


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_charts_of_long_work(
    chromium: Any, address: str, size: dict[str, int], scheme: str
) -> None:
    where = "desk" if size is DESK else "phone"
    visit = Visit(chromium, size, scheme)
    visit.open(f"{address}?design={link.encode(QUICK, load_preset(QUICK))}")
    visit.choose("Reuse")
    visit.page.get_by_role("button", name="Follow the chunks").click()
    visit.page.get_by_text("Reuse distance").wait_for()
    visit.show(f"{where}-reuse")
    visit.page.get_by_role("button", name="How sure?").click()
    take = visit.page.get_by_role("button", name="Take h100-qwen3-8b")
    take.click()
    take.wait_for(state="detached")  # the design has a calibration now, and a button of that name
    visit.settle()
    visit.page.get_by_role("button", name="How sure?").click()
    visit.page.get_by_text("Intervals hold 95 %").wait_for(timeout=4 * ANSWER_MS)
    visit.show(f"{where}-intervals")
    if size is DESK:
        visit.page.get_by_role("link", name="Plan").click()
        visit.page.get_by_role("heading", name="Plan:").wait_for()
        visit.choose("Two inputs")
        visit.page.get_by_role("button", name="Run all of them").click()
        visit.page.get_by_text("answers keep up").wait_for(timeout=4 * ANSWER_MS)
        visit.show("desk-two-inputs")
    visit.end()
