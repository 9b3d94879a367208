"""The demo in a browser, laid out and started as a Space is: the folder, the package beside it, a variable."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
import torch
from helpers import save_tiny_checkpoint

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is served, by a process of its own."""
    space = tmp_path_factory.mktemp("space")
    shutil.copytree(ROOT / "examples" / "space", space, dirs_exist_ok=True)
    shutil.copytree(ROOT / "hf_contrastive", space / "hf_contrastive", ignore=shutil.ignore_patterns("__pycache__"))
    torch.manual_seed(0)
    model = save_tiny_checkpoint(space / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_CONTRASTIVE_MODEL": str(model), "GRADIO_SERVER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    environment |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_SERVER_NAME": "127.0.0.1"}
    with (space / "log").open("w") as log:
        server = subprocess.Popen([sys.executable, "app.py"], cwd=space, env=environment, stdout=log, stderr=log)
    try:
        yield _when_there(f"http://127.0.0.1:{port}", server, space / "log")
    finally:
        server.terminate()
        server.wait(30)


def _when_there(address: str, server: "subprocess.Popen[bytes]", log: Path, seconds: float = 300) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            with urlopen(address, timeout=30):
                return address
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"the page was not served: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    """Headless Chromium: playwright's own, or the system's."""
    with playwright.sync_playwright() as driver:
        own = Path(driver.chromium.executable_path)
        system = next((found for name in BROWSERS if (found := shutil.which(name))), None)
        if not own.is_file() and system is None:
            pytest.skip("no Chromium: run `playwright install chromium`, or install the system's")
        started = driver.chromium.launch(executable_path=own if own.is_file() else system, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.slow
def test_type_click_and_see(address: str, browser: "playwright.Browser") -> None:
    page = browser.new_page()
    page.set_default_timeout(120_000)
    elsewhere: list[str] = []
    page.on("request", lambda request: elsewhere.append(request.url) if address not in request.url else None)
    page.goto(address)

    page.get_by_label("Query").fill("the dog runs")
    page.get_by_label("Sentences, one a line", exact=True).fill("a cat sleeps\nthe dog runs\n<i>music</i>")
    page.get_by_role("button", name="Find").click()
    first = page.get_by_role("row").filter(has_text="the dog runs").first
    playwright.expect(first).to_contain_text("1.000")
    assert page.get_by_text("<i>music</i>").count() and not page.locator("td i").count()

    more = {"name": "more.txt", "mimeType": "text/plain", "buffer": b"a red bike\n"}
    page.locator("input[type=file]").first.set_input_files([more])
    playwright.expect(page.get_by_text("more.txt").first).to_be_visible()
    page.get_by_role("button", name="Find").click()
    playwright.expect(page.get_by_role("row").filter(has_text="a red bike").first).to_be_visible()

    page.get_by_role("tab", name="Similarity matrix").click()
    page.get_by_label("Sentences, one a line, at most").fill("a cat sleeps\nthe dog runs")
    page.get_by_role("button", name="Compare").click()
    playwright.expect(page.locator("table.matrix td")).to_have_count(4)
    assert page.locator("table.matrix td").first.inner_text() == "1.00"

    page.get_by_role("tab", name="Negatives").click()
    page.get_by_label("Sentence", exact=True).fill("the dog runs")
    page.get_by_label("Pool, one sentence a line").fill("a cat sleeps\nthe dog runs\nred bike")
    page.get_by_role("button", name="Propose").click()
    playwright.expect(page.get_by_text("Exact shares")).to_be_visible()
    playwright.expect(page.get_by_role("row").filter(has_text="red bike").first).to_contain_text("50.0 %")
    playwright.expect(page.get_by_role("row").filter(has_text="the dog runs").first).to_contain_text("never")

    page.get_by_label("Pool, one sentence a line").fill("")
    page.get_by_role("button", name="Propose").click()
    playwright.expect(page.get_by_text("no sentences: write some")).to_be_visible()
    assert not [url for url in elsewhere if not url.startswith(("data:", "blob:"))]
