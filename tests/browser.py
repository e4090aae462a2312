"""A browser for the tests: Debian's chromium, driven by playwright; axe-core finds what shuts people out.

Neither is a dependency of plaintune. Where one is missing, the tests that need it are skipped and say why.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

AXE = "axe-core@4.10.3"  # MPL-2.0: fetched by npm at test time, never committed
FAULTS_THAT_COUNT = {"serious", "critical"}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, started once; nothing is downloaded for it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the page should not have done, so far."""
    return []


@pytest.fixture
def browser_page(browser: Any, complaints: list[str]) -> Iterator[Any]:
    """A fresh page; the test fails where a script of the page fails, or its security policy stops something.

    `page.goto(url or file.as_uri())`; `page.emulate_media(color_scheme="dark")`;
    `page.set_viewport_size({"width": 390, "height": 844})` is a phone.
    """
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(f"script failed: {error}"))
    page.on("console", lambda message: _keep_policy_faults(message.text, complaints))
    yield page
    context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def axe_script(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core."""
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip("no npm here: apt-get install npm")
    fetched = subprocess.run(
        ["npm", "pack", AXE, "--silent"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    archive = next(folder.glob("axe-core-*.tgz"), None)
    if archive is None:
        pytest.skip(f"npm could not fetch {AXE}: {fetched.stderr.strip()[-200:]}")
    shutil.unpack_archive(archive, folder, filter="data")
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def accessibility_faults(
    browser_page: Any, axe_script: str, complaints: list[str]
) -> Callable[[], list[str]]:
    """Call it once the page shows what is to be judged: its serious faults, each in a line; none is right."""

    def faults() -> list[str]:
        before = len(complaints)
        browser_page.evaluate(axe_script)  # past the page's own policy, which lets no foreign script in
        found = json.loads(browser_page.evaluate("axe.run().then(JSON.stringify)"))
        browser_page.wait_for_timeout(50)
        del complaints[before:]  # axe's own styles against the policy
        return [
            f"{fault['id']}: {fault['help']} ({'; '.join(node['html'][:120] for node in fault['nodes'][:3])})"
            for fault in found["violations"]
            if fault["impact"] in FAULTS_THAT_COUNT
        ]

    return faults


def browser_that_notes(folder: Path) -> Path:
    """A browser for `BROWSER` that shows nothing: what it is asked for goes to browser-asked.txt."""
    script = folder / "browser"
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >> "$0-asked.txt"\n')
    script.chmod(0o755)
    return script


def take_picture(page: Any, file: Path) -> None:
    """The whole page as a PNG."""
    page.screenshot(path=str(file), full_page=True)


def _keep_policy_faults(message: str, complaints: list[str]) -> None:
    if "Content Security Policy" in message or "Content-Security-Policy" in message:
        complaints.append(message)
