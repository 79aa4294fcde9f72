"""The report of a run of 1,000,000 points: how long it takes to write, how large it is, how soon it is drawn.

Goals: it opens in less than 2 s in Chromium, and weighs less than 15 MB, with more videos than it has room for. Told
are the time from the load until every part of the page is painted, its curves as sketches, and until the last picture
is drawn with its axes. The run has 10 metrics of 100,000 points each. Each opening is in a new browser context, in
turn with a page that has Plotly and one chart of three points: medians, and the load, are told.
Usage: python benchmarks/report.py [--quick]
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import Part, scratch, table
from playwright.sync_api import sync_playwright
from plotly.offline import get_plotlyjs

import touchline
from touchline.config import Settings
from touchline.report import find_subject, write_report

METRICS = (
    "objective", "eval/return", "train/reward", "train/loss", "train/entropy", "train/q", "gpu/utilization_percent",
    "gpu/memory_percent", "host/cpu_percent", "cost/usd",
)  # fmt: skip
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
ALONE = """<!DOCTYPE html><title>Plotly</title><div id="plot" style="height: 230px"></div><script>{plotly}</script>
<script>
  Plotly.newPlot("plot", [{{x: [1, 2, 3], y: [1, 2, 3]}}])
    .then(() => {{ document.documentElement.dataset.drawn = 1; }});
</script>"""
WATCH_FRAMES = """const look = () => {
  if (document.getElementById("data")) window.framed = performance.now();
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);"""
"""The data follow the last curve's sketch, so the first frame that has them shows all. A question from outside may be
answered only after Plotly has been parsed."""
SEEN = "Math.max(window.framed, performance.getEntriesByName('first-contentful-paint')[0].startTime)"
DRAWN = """() => new Promise((done) => {
  const look = () => document.documentElement.dataset.drawn
    ? done([performance.now(), Number(document.documentElement.dataset.drawn)]) : setTimeout(look, 5);
  look();
})"""


def record(home: Path, points: int, videos: int) -> Settings:
    """Log the run, with noise, and ``videos`` files of 1 MB that only weigh something."""
    settings = Settings(home=home, sinks=(), capture=())
    random = np.random.default_rng(0)
    with touchline.start_run("train", settings=settings, run_id="large", config={"seed": 0}) as run:
        steps = np.arange(points // len(METRICS)) * 100
        rise = 100 * (1 - np.exp(-3 * steps / steps[-1]))
        for name in METRICS:
            run.log_curve(name, steps, rise + random.normal(0, 5, steps.size))
            run._writer.flush(120.0)  # a crowded machine takes its time
        weight = home / "film.mp4"
        weight.write_bytes(random.bytes(1_000_000))
        for number in range(videos):
            run.log_video(weight, "rollout", number)
    return settings


def measure(part: Part) -> dict[str, Any]:
    """Write the report once and open it several times."""
    with scratch() as home:
        settings = record(Path(home), part.size(1_000_000, 20_000), 20)
        target = Path(home) / "large.html"
        began = time.perf_counter()
        report = write_report(find_subject(settings, "large"), settings, target)
        written = time.perf_counter() - began
        alone = Path(home) / "alone.html"
        alone.write_text(ALONE.format(plotly=get_plotlyjs()), encoding="utf-8")
        opened: dict[Path, list[float]] = {target: [], alone: []}
        seen: list[float] = []
        pictures = 0
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
            for _ in range(part.size(9, 3)):
                for place, seconds in opened.items():
                    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
                        page = context.new_page()
                        page.add_init_script(WATCH_FRAMES)
                        page.goto(place.as_uri(), wait_until="commit")
                        milliseconds, drawn = page.evaluate(DRAWN)
                        seconds.append(milliseconds / 1e3)
                        if place is target:
                            seen.append(page.evaluate(SEEN) / 1e3)
                        pictures = max(pictures, drawn)
            browser.close()
    return {
        "write_seconds": round(written, 2),
        "megabytes": round(report.size / 1e6, 2),
        "pictures": pictures,
        "seen_seconds": round(statistics.median(seen), 2),
        "open_seconds": round(statistics.median(opened[target]), 2),
        "open_seconds_of_each": [round(seconds, 2) for seconds in opened[target]],
        "plotly_alone_seconds": round(statistics.median(opened[alone]), 2),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Measure, keep and print."""
    part = Part("", __doc__, "report")
    found = part.measure("large", lambda: measure(part))
    keys = (
        "write_seconds", "megabytes", "pictures", "seen_seconds", "open_seconds", "plotly_alone_seconds", "load",
    )  # fmt: skip
    table(list(keys), [[found[key] for key in keys]])


if __name__ == "__main__":
    main()
