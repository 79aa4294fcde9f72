"""The live page: how soon it is there, with 1,000 runs in the home, and with a run of 1,000,000 points that goes on.

Goals: the command tells its address in less than 1 s; on the list of 1,000 runs and on the page of the run of
1,000,000 points nobody waits longer than 0.2 s for the page while it is kept up to date. The run has 10 metrics of
100,000 points each and logs all of them 50 times a second meanwhile. "blocked" is the longest time in 10 s in which
the page's thread answered nobody.
Usage: python benchmarks/ui.py [--quick]
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from harness import Part, scratch, table
from playwright.sync_api import sync_playwright

import touchline
from touchline.config import Settings
from touchline.tracking.run import Run

METRICS = (
    "objective", "eval/return", "train/reward", "train/loss", "train/entropy", "train/q", "gpu/utilization_percent",
    "gpu/memory_percent", "host/cpu_percent", "cost/usd",
)  # fmt: skip
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
SECONDS = 10.0
BLOCKED = """(seconds) => new Promise((done) => {
  let longest = 0, last = performance.now();
  const end = last + 1000 * seconds;
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    now < end ? port2.postMessage(0) : done(longest / 1000);
  };
  port2.postMessage(0);
})"""


def fill(settings: Settings, runs: int) -> None:
    """Record so many short runs."""
    for number in range(runs):
        with touchline.start_run("train", settings=settings, run_id=f"run-{number:04d}") as run:
            for step in range(20):
                run.log({"objective": float(step), "train/loss": 1.0 / (step + 1)}, step)


@contextmanager
def living(settings: Settings, points: int) -> Iterator[Run]:
    """A run of so many points that goes on."""
    random = np.random.default_rng(0)
    done = threading.Event()
    with touchline.start_run("train", settings=settings, run_id="large") as run:
        steps = np.arange(points // len(METRICS)) * 100
        for name in METRICS:
            run.log_curve(name, steps, 100 * (1 - np.exp(-3 * steps / steps[-1])) + random.normal(0, 5, steps.size))
            run._writer.flush(120.0)  # a crowded machine takes its time

        def log() -> None:
            step = int(steps[-1])
            while not done.wait(0.02):
                step += 100
                run.log({name: 100.0 + random.normal(0, 5) for name in METRICS}, step)

        thread = threading.Thread(target=log)
        thread.start()
        try:
            yield run
        finally:
            done.set()
            thread.join()


@contextmanager
def command(home: Path) -> Iterator[tuple[str, float]]:
    """The running ``touchline ui``: its address, and the seconds until it was told."""
    began = time.perf_counter()
    called = [sys.executable, "-m", "touchline", "ui", "--page-only", "--home", str(home)]
    process = subprocess.Popen(called, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = (re.search(r"http://\S+\?token=\S+", line) for line in process.stdout)
    url = next(found[0] for found in told if found)
    seconds = time.perf_counter() - began
    try:
        yield url, seconds
    finally:
        process.terminate()
        process.communicate()


def measure(part: Part) -> dict[str, Any]:
    """Open both pages and look on."""
    runs = part.size(1_000, 30)
    with scratch() as home:
        settings = Settings(home=Path(home), sinks=(), capture=())
        fill(settings, runs - 1)
        with (
            living(settings, part.size(1_000_000, 20_000)),
            command(Path(home)) as (url, told),
            sync_playwright() as driver,
        ):
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(300_000)
            began = time.perf_counter()
            page.goto(url)
            first = time.perf_counter() - began
            page.locator("#runs tbody tr").nth(runs - 1).wait_for()
            listed = time.perf_counter() - began
            blocked_list = page.evaluate(BLOCKED, SECONDS)
            began = time.perf_counter()
            page.locator("#filter").fill("large")
            page.locator("#runs tbody tr:not([hidden])").filter(has_text="large").wait_for()
            filtered = time.perf_counter() - began
            began = time.perf_counter()
            page.get_by_role("link", name="large", exact=True).click()
            page.locator(".plot .scatterlayer .trace path.js-line").first.wait_for(state="attached")
            drawn = time.perf_counter() - began
            page.locator("#reading").wait_for(state="hidden")
            whole = time.perf_counter() - began
            page.wait_for_timeout(2_000)
            blocked_run = page.evaluate(BLOCKED, SECONDS)
            browser.close()
    return {
        "address_told_seconds": round(told, 2),
        "first_rows_seconds": round(first, 2),
        "all_rows_seconds": round(listed, 2),
        "list_blocked_seconds": round(blocked_list, 3),
        "filter_seconds": round(filtered, 2),
        "run_first_curve_seconds": round(drawn, 2),
        "run_whole_seconds": round(whole, 2),
        "run_blocked_seconds": round(blocked_run, 3),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Measure, keep and print."""
    part = Part("", __doc__, "ui")
    found = part.measure("page", lambda: measure(part))
    table(list(found), [list(found.values())])


if __name__ == "__main__":
    main()
