"""A real Chromium for tests of pages, which are skipped where there is none."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright drives the browser: pip install playwright"
)
needed = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install -y chromium")
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 60_000
"""Milliseconds, of a crowded machine."""


@contextmanager
def launched() -> Iterator[Any]:
    """The browser, closed afterwards."""
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=PATIENCE)
        yield chromium
        chromium.close()


@contextmanager
def opened(browser: Any, url: str, allowed: str, width: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """Open a page; afterwards nothing may have complained or asked for an address but the ``allowed`` (a pattern)."""
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda one: None if re.match(allowed, one.url) else complaints.append(one.url))
        page.goto(url)
        yield page
        assert complaints == []


def unfold(page: Any) -> None:
    """Open all that is folded, and wait until every picture is drawn and every table filled."""
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    if pictures := page.locator(".plot").count():
        page.wait_for_selector(f"html[data-drawn='{pictures}']", state="attached")
    page.locator("details[data-table]:not(:has(table))").first.wait_for(state="detached")


def complaints_of_axe(page: Any) -> list[tuple[str, list[str]]]:
    """The rules that the page breaks, each with where it does."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python brings axe")
    found = axe.Axe().run(page).response["violations"]
    return [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found]
