"""The page in a real Chromium, beside a real training: it grows while somebody looks, tracks or not."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import chromium
from touchline.ui.door import Door

from .conftest import PIPELINE, begin

TOUCHLINE = Path(sys.executable).with_name("touchline")
pytestmark = chromium.needed
TRAINING = """
import sys, time
from pathlib import Path
import touchline
from touchline.config import Settings
run = touchline.start_run("train", run_id="living", settings=Settings.load(capture=()))
step = 0
while not Path(sys.argv[1]).exists() and step < 100_000:
    run.log({"objective": step ** 0.5, "gpu/utilization_percent": 60.0}, step)
    step += 1
    time.sleep(0.02)
run.finish(timeout=1.0)
"""


@contextmanager
def opened(browser: Any, url: str, width: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """Open the address with the token; nothing may complain or leave this machine."""
    with chromium.opened(browser, url, r"http://127\.0\.0\.1:|blob:|data:", width, scheme) as page:
        yield page


def follow(page: Any, run: str) -> None:
    page.get_by_role("link", name=run, exact=True).click()
    page.locator(".plot .scatterlayer .trace path.js-line").first.wait_for(state="attached")


def wait_until(condition: Callable[[], object], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def curve(page: Any) -> str:
    path: str = page.locator("#learning .plot .scatterlayer .trace path.js-line").last.get_attribute("d")
    return path


def highest_step(page: Any) -> int:
    tile = page.locator(".tiles div", has=page.get_by_text("step", exact=True)).locator("dd")
    return int(tile.inner_text().replace(",", ""))


@pytest.fixture
def command(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The real ``touchline ui`` of a home of its own, and the address that it tells."""
    (tmp_path / "home").mkdir()
    process = subprocess.Popen(
        [str(TOUCHLINE), "ui", "--page-only", "--home", str(tmp_path / "home")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout is not None
    url = next(
        found[0] for line in process.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line))
    )
    yield process, url
    process.kill()
    process.communicate()


def test_a_training_grows_in_the_page_while_both_tracks_are_dead(
    browser: Any, command: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, url = command
    nowhere = "http://127.0.0.1:9"
    dead = {"MLFLOW_TRACKING_URI": nowhere, "WANDB_BASE_URL": nowhere, "WANDB_API_KEY": "0" * 40}
    environment = {**os.environ, **dead, "TOUCHLINE_SINKS": "mlflow,wandb", "TOUCHLINE_COURIER_SECONDS": "20"}
    environment["TOUCHLINE_HOME"] = str(tmp_path / "home")
    end = tmp_path / "end"
    with opened(browser, url) as page:
        assert page.url.endswith("/"), "the token has left the address"
        page.get_by_text("No run is in this home yet").wait_for()
        training = subprocess.Popen([sys.executable, "-c", TRAINING, str(end)], env=environment, cwd=tmp_path)
        try:
            follow(page, "living")
            drawn, step = curve(page), highest_step(page)
            wait_until(lambda: curve(page) != drawn and highest_step(page) > step)
            assert page.locator("#machine-charts .plot").count() == 1
            assert page.locator("#live").inner_text() == "live"
            page.locator("#delivery .badge").first.wait_for()
            assert "done" not in page.locator("#delivery table").inner_text()
        finally:
            end.touch()
            training.wait(timeout=300)
        page.locator("#summary .badge", has_text="finished").wait_for()
        page.go_back()
        page.locator('tr[data-id="living"] .badge', has_text="finished").wait_for()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0


def test_the_list_leads_everywhere(browser: Any, door: Door) -> None:
    with opened(browser, door.url) as page:
        assert page.locator("#pipelines svg.wide .stage").count() == 6
        assert page.locator("#pipelines .stage.state-planned").first.is_visible()
        assert page.locator("#runs tbody tr").count() == 3
        assert page.get_by_text("runs/damaged/journal.db cannot be read").is_visible()
        assert page.locator("#servers .is-up a").get_attribute("href") == "http://127.0.0.1:6006"
        page.get_by_text("Why Optuna is not up").click()
        assert page.get_by_text("no such table").is_visible()
        page.keyboard.press("/")
        page.keyboard.type("pretrain running")
        assert page.locator("#runs tbody tr:visible").count() == 0
        page.locator("#filter").fill("pretrain finished")
        assert page.locator("#runs tbody tr:visible").count() == 1
        assert page.locator("#matches").inner_text() == "1 of 3"
        page.locator("#pipelines .stage", has_text="pretrain").first.click()
        page.wait_for_url("**/runs/p-pretrain")


def test_a_run_shows_what_the_report_shows(browser: Any, door: Door) -> None:
    with opened(browser, door.url) as page:
        follow(page, "p-pretrain")
        assert "GPU utilisation below 60 %" in page.locator("#alerts").inner_text()
        assert page.locator("#machine-charts path.point").count() >= 1, "the alert is marked"
        drawn = curve(page)
        page.locator("#axis").select_option("time")
        assert curve(page) != drawn
        page.locator("#learning details.folded", has_text="train").locator("summary").first.click()
        page.locator("#learning details.folded .plot .trace").first.wait_for(state="attached")


def test_the_report_is_made_when_it_is_opened(browser: Any, door: Door) -> None:
    with opened(browser, door.url) as page:
        page.goto(f"http://127.0.0.1:{door.server_port}/report/{PIPELINE}")
        page.wait_for_selector("html[data-drawn]", state="attached")
        assert page.locator(".brand").inner_text() == "Touchline report"
        assert page.locator("#pipeline svg.wide .box").count() == 6


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_nobody_is_shut_out(browser: Any, door: Door, width: int, scheme: str) -> None:
    def look(page: Any) -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        chromium.unfold(page)
        assert chromium.complaints_of_axe(page) == []

    with opened(browser, door.url, width, scheme) as page:
        look(page)
        follow(page, "p-pretrain")
        page.wait_for_selector("html[data-drawn]", state="attached")
        look(page)


def test_no_name_is_too_long_for_a_narrow_page(browser: Any, door: Door, home: Path) -> None:
    with begin(home, "lengthy", "verylong" * 15, config={"seed": 0}) as run:
        for step in range(9):
            run.log({"return": step, f"{'section' * 20}/loss": step}, step)
    with opened(browser, door.url, 360) as page:
        row = page.locator('tr[data-id="lengthy"]')
        started, took = row.locator('[data-label="started"]'), row.locator('[data-label="duration"]')
        assert started.evaluate("cell => cell.scrollWidth <= cell.clientWidth"), "its text ends where the next begins"
        assert took.evaluate("cell => cell.scrollWidth <= cell.clientWidth")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        follow(page, "lengthy")
        page.wait_for_selector("html[data-drawn]", state="attached")
        chromium.unfold(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    shutil.rmtree(home / "runs" / "lengthy")


def test_a_long_name_takes_two_lines_of_the_list_and_no_room_of_the_others(
    browser: Any, door: Door, home: Path
) -> None:
    job, name = "verylong" * 30, "nameless" * 30
    begin(home, "wordy", job, name=name).finish(timeout=5)
    with opened(browser, door.url) as page:
        row = page.locator('tr[data-id="wordy"]')
        row.locator(".badge", has_text="finished").wait_for()
        line = page.locator('tr[data-id="p-setup"]').bounding_box()["height"]
        assert row.bounding_box()["height"] < 2 * line
        assert row.locator('[data-label="job"] span').get_attribute("title") == job
        assert row.locator("small").get_attribute("title") == name
        page.set_viewport_size({"width": 800, "height": 900})
        assert page.locator('tr[data-id="p-pretrain"] [data-label="job"] span').bounding_box()["width"] >= 90
        assert page.evaluate("document.documentElement.scrollWidth") <= 800
    shutil.rmtree(home / "runs" / "wordy")


def test_a_run_that_begins_and_one_that_vanishes_come_and_go(browser: Any, door: Door, home: Path) -> None:
    with opened(browser, door.url) as page:
        begin(home, "brief").finish(timeout=5)
        page.locator('tr[data-id="brief"] .badge', has_text="finished").wait_for()
        assert page.locator("#runs tbody tr").first.get_attribute("data-id") == "brief"
        page.get_by_role("link", name="brief", exact=True).focus()
        shutil.rmtree(home / "runs" / "brief")
        page.locator('tr[data-id="brief"]').wait_for(state="detached")
        assert page.locator("#live").inner_text() == "live"
