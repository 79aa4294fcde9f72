"""The page in a real Chromium: drawn, answering to mouse and keyboard, light and dark, narrow, on paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import chromium
from touchline.config import Settings
from touchline.report import find_subject, write_report
from touchline.report.subject import PIPELINE_TAG

from .conftest import JOBS, PIPELINE, begin

pytestmark = chromium.needed


@pytest.fixture(scope="module")
def page_of(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    place = tmp_path_factory.mktemp("pages")

    def make(word: str) -> Path:
        target = place / f"{word}.html"
        if not target.exists():
            settings = Settings(home=home, sinks=())
            write_report(find_subject(settings, word), settings, target, JOBS)
        return target

    return make


@contextmanager
def opened(browser: Any, path: Path, width: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """The page when all is drawn; nothing may complain or go to a network."""
    with chromium.opened(browser, path.as_uri(), "(?!http)", width, scheme) as page:
        page.wait_for_selector("html[data-drawn]", state="attached")
        yield page


def curve(page: Any, number: int = 0) -> str:
    """The line of a chart, as it is drawn."""
    path: str = page.locator(".plot").nth(number).locator(".scatterlayer .trace path.js-line").last.get_attribute("d")
    return path


def written(home: Path, word: str) -> Path:
    """The page of a run in a home of its own."""
    settings, target = Settings(home=home, sinks=()), home / f"{word}.html"
    write_report(find_subject(settings, word), settings, target)
    return target


def ticks(page: Any, title: str) -> list[str]:
    """What stands at the vertical axis of a chart, from the bottom."""
    told: list[str] = page.locator("figure", has_text=title).locator(".ytick").all_text_contents()
    return told


def test_every_picture_is_drawn(browser: Any, page_of: Callable[[str], Path]) -> None:
    with opened(browser, page_of(PIPELINE)) as page:
        visible = page.locator(".plot:visible")
        assert visible.count() == int(page.locator("html").get_attribute("data-drawn")) > 2
        for number in range(visible.count()):
            assert visible.nth(number).locator(".scatterlayer .trace").count() >= 1
        assert len(curve(page)) > 5_000, "thousands of points make a long path"
        assert page.locator("#pipeline svg.wide .box").count() == 4
        assert page.locator("#gate svg.wide .pair").count() == 60
        assert page.locator("#gate svg.wide .interval").count() == 3
        assert page.locator("#machine .plot:visible").first.locator("path.point").count() >= 1, "the alert is marked"
        video = page.locator("#films video")
        video.scroll_into_view_if_needed()
        page.wait_for_function("document.querySelector('#films video').src.startsWith('blob:')")
        video.evaluate(
            "video => video.readyState >= 2 || new Promise(done => video.addEventListener('loadeddata', done))"
        )
        assert video.evaluate("video => [video.videoWidth, video.videoHeight]") == [96, 64]


def test_curves_are_sketched_until_the_script_has_drawn_them_and_without_any(
    browser: Any, page_of: Callable[[str], Path], tmp_path: Path
) -> None:
    with opened(browser, page_of(PIPELINE)) as page:
        assert page.locator(".plot:visible").count() > 2
        assert page.locator(".plot:visible .sketch").count() == 0, "the drawn ones have taken their place"
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(page_of(PIPELINE).as_uri())
        plots, sketches = page.locator(".plot:visible"), page.locator(".plot:visible .sketch")
        assert plots.count() == sketches.count() > 2
        for number in range(plots.count()):
            box = sketches.nth(number).bounding_box()
            assert box is not None and box["width"] > 200 and box["height"] > 200
            assert sketches.nth(number).locator("polyline").count() >= 1


def test_the_smallest_and_the_largest_numbers_are_drawn_with_axes(browser: Any, tmp_path: Path) -> None:
    tiny = [math.exp(-715 - step / 100) for step in range(40)]
    with begin(tmp_path, "ends") as run:
        for step, value in enumerate(tiny):
            run.log({"tiny": value, "vast": -1e308 if step < 20 else 1e308, "usual": step}, step)
    with opened(browser, written(tmp_path, "ends")) as page:
        chromium.unfold(page)
        assert page.locator(".plot .scatterlayer .trace").count() == 3
        assert (ticks(page, "tiny")[0], ticks(page, "tiny")[-1]) == ("2e−311", "3e−311")
        assert ticks(page, "vast") == ["−1e308", "−0.5e308", "0e308", "0.5e308", "1e308"]
        assert ticks(page, "usual")[0] == "0"


def test_a_table_tells_the_smallest_and_the_largest_numbers_with_an_exponent(browser: Any, tmp_path: Path) -> None:
    numbers = [0.0, 1e-321, -2.5e-7, 1e-5, 1234.5, 123_456.0, 1e15, -1e308]
    with begin(tmp_path, "ends") as run:
        run.log_curve("return", range(len(numbers)), numbers)
    with opened(browser, written(tmp_path, "ends")) as page:
        chromium.unfold(page)
        cells = page.locator(".table td:last-child").all_text_contents()
        assert cells == ["0", "1e-321", "-2.5e-7", "0.00001", "1,234.5", "123,456", "1e15", "-1e308"]


def test_all_that_is_not_finite_is_marked_over_steps_and_over_time(browser: Any, tmp_path: Path) -> None:
    values = np.ones(2_000)
    values[:1_000] = values[1_500] = math.nan
    with begin(tmp_path, "holes") as run:
        run.log_curve("return", range(2_000), values)
        for step in range(40):
            run.log({"gpu/0/power_watts": math.nan if step < 20 else 1.0}, step)
    marked = """(element) => element.data.filter((trace) => trace.name === "not finite").map((trace) => trace.x)"""
    with opened(browser, written(tmp_path, "holes")) as page:
        learning, machine = page.locator("#learning .plot"), page.locator("#machine .plot")
        assert learning.evaluate(marked) == [[0, 999, None, 1500, None]]
        page.locator("#axis").select_option("time")
        assert learning.evaluate(marked)[0][-1] is None and 0 <= learning.evaluate(marked)[0][0] < 60
        ((first, last, _),) = machine.evaluate(marked)
        assert 0 <= first < last < 60


def test_a_picture_that_cannot_be_drawn_says_so_and_costs_no_other(browser: Any, tmp_path: Path) -> None:
    with begin(tmp_path, "several") as run:
        for step in range(20):
            run.log({"return": step, "a/first": step, "a/second": step}, step)
    with opened(browser, written(tmp_path, "several")) as page:
        page.evaluate(
            """() => {
                const react = Plotly.react;
                Plotly.react = (element, ...rest) => {
                    if (element.ariaLabel.startsWith("a/first")) throw new Error("no axes");
                    return react(element, ...rest);
                };
            }"""
        )
        chromium.unfold(page)
        figure = page.locator("figure", has_text="a/first")
        assert figure.locator(".undrawn").inner_text() == (
            "This is a sketch without axes, for they could not be drawn (no axes)."
        )
        assert figure.locator(".sketch polyline").count() == 1 and figure.locator(".main-svg").count() == 0
        assert page.locator("figure", has_text="a/second").locator(".scatterlayer .trace").count() == 1
        page.locator("#theme").click()
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator(".undrawn").count() == page.locator(".sketch").count() == 1, "told once"


def test_the_page_answers(browser: Any, page_of: Callable[[str], Path]) -> None:
    with opened(browser, page_of(PIPELINE)) as page:
        raw = curve(page)
        page.locator("#smoothing").focus()
        for _ in range(3):
            page.keyboard.press("PageUp")
        page.wait_for_function("document.getElementById('smoothing-value').value !== '0.00'")
        smooth = curve(page)
        assert smooth != raw
        page.locator("#axis").select_option("time")
        assert curve(page) != smooth
        assert "since the start" in page.locator(".plot").first.inner_text()

        dark = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(dark)
        page.locator("#theme").click()
        assert page.evaluate(dark) != light and page.locator("#theme").inner_text().endswith("Light")

        page.locator("#pipeline svg.wide a").nth(1).click()
        page.wait_for_function("document.getElementById('job-pretrain').open")
        page.locator("#job-pretrain a", has_text="Its curves").click()
        assert page.evaluate("location.hash").startswith("#learning-")

        folded = page.locator("#learning details.folded", has_text="train")
        folded.locator("summary").first.click()
        folded.locator(".plot .trace").first.wait_for(state="attached")
        table = page.locator("#learning details.table").first
        table.locator("summary").click()
        table.locator("tr").nth(10).wait_for()


@pytest.mark.parametrize(
    ("word", "width", "scheme"), [(PIPELINE, 1280, "light"), (PIPELINE, 360, "dark"), ("seeds", 390, "dark")]
)
def test_nobody_is_shut_out(browser: Any, page_of: Callable[[str], Path], word: str, width: int, scheme: str) -> None:
    with opened(browser, page_of(word), width, scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        chromium.unfold(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert chromium.complaints_of_axe(page) == []


def test_no_name_is_too_long_for_a_narrow_page(browser: Any, tmp_path: Path) -> None:
    with begin(tmp_path, "p-long", "verylong" * 15, tags={PIPELINE_TAG: PIPELINE}, config={"seed": 0}) as run:
        run.log({"once" * 30: 1.0}, 0)
        for step in range(9):
            run.log({"return": step, f"{'section' * 20}/loss": step}, step)
    with opened(browser, written(tmp_path, PIPELINE), 360) as page:
        chromium.unfold(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_table_tells_the_very_step(browser: Any, tmp_path: Path) -> None:
    with begin(tmp_path, "steps", "train") as run:
        for step in (1_234_561, 1_234_567):
            run.log({"return": 0.5}, step)
    with opened(browser, written(tmp_path, "steps")) as page:
        chromium.unfold(page)
        assert page.locator("details.table tr").last.inner_text().split() == ["1,234,567", "0.5"]


def test_parts_are_told_apart_whatever_their_jobs_are_called(browser: Any, tmp_path: Path) -> None:
    for job in ("alerts", "learning", "configuration"):
        with begin(tmp_path, f"p-{job}", job, tags={PIPELINE_TAG: PIPELINE}, config={"seed": 0}) as run:
            run.log_curve("objective", range(30), range(30))
            run.alert("Too slow", level="warn")
    with opened(browser, written(tmp_path, PIPELINE)) as page:
        chromium.unfold(page)
        assert page.get_by_role("region", name="As a table of objective, alerts", exact=True).count() == 1
        assert chromium.complaints_of_axe(page) == []


def test_the_first_stop_of_the_keyboard_skips_to_the_content(browser: Any, page_of: Callable[[str], Path]) -> None:
    with opened(browser, page_of("seeds")) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"


def test_paper_is_white_and_no_picture_is_wider(browser: Any, page_of: Callable[[str], Path], tmp_path: Path) -> None:
    with opened(browser, page_of("seeds"), scheme="dark") as page:
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not page.locator("nav").is_visible()
        assert page.locator(".plot .main-svg").first.bounding_box()["width"] <= 340
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("html").get_attribute("data-theme") == "dark"
