"""Curves of a run that goes on: what is told piece by piece comes to what was logged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from touchline.report.curves import Curve
from touchline.report.live import LIVE_BUCKETS, Change, LiveCurves
from touchline.tracking.encoding import encode
from touchline.tracking.journal import FILE_NAME, Journal, JournalReader


class Page:
    """What a browser keeps of one metric."""

    def __init__(self, live: LiveCurves) -> None:
        self.live = live
        self.since = -1
        self.steps = np.empty(0)
        self.mean = np.empty(0)

    def look(self, name: str = "loss") -> Change | None:
        while not self.live.advance(1.0):
            pass
        change = self.live.changes(self.since).get(name)
        self.since = self.live.cursor
        if change is not None:
            self.steps = np.concatenate([self.steps[: change.first], change.curve.steps])
            self.mean = np.concatenate([self.mean[: change.first], change.curve.mean])
        return change

    def agrees_with(self, curve: Curve) -> bool:
        return np.array_equal(self.steps, curve.steps) and np.allclose(self.mean, curve.mean)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / FILE_NAME)


def log(journal: Journal, first: int, last: int, value: float = 1.0) -> None:
    rows = ((step, encode("metrics", {"loss": value * step})) for step in range(first, last))
    journal.append([("metrics", step, float(step), row) for step, row in rows])


def test_what_came_since_completes_what_was_there(journal: Journal) -> None:
    page, late = Page(LiveCurves(journal.path)), Page(LiveCurves(journal.path))
    end = 0
    for count in (1, 3, 400, 90, 5, 1, 700, 1_000, 11, 4_000, 1, 1, 9_000, 250, 17):
        log(journal, end, end + count)
        end += count
        page.look()
        assert page.steps.size <= LIVE_BUCKETS
        late.look()
        assert page.agrees_with(late.live.curves()["loss"])
        assert page.live.curves()["loss"].points == end


def test_a_look_tells_little_where_little_came(journal: Journal) -> None:
    page = Page(LiveCurves(journal.path))
    log(journal, 0, 300)
    page.look()
    log(journal, 300, 303)
    change = page.look()
    assert change is not None and (change.first, change.curve.steps.tolist()) == (300, [300, 301, 302])
    assert page.look() is None


def test_a_second_page_gets_all_of_it(journal: Journal) -> None:
    live = LiveCurves(journal.path)
    log(journal, 0, 2_000)
    Page(live).look()
    late = Page(live)
    late.look()
    assert late.agrees_with(live.curves()["loss"])


def test_a_run_that_goes_back_is_drawn_anew(journal: Journal) -> None:
    page = Page(LiveCurves(journal.path))
    log(journal, 0, 300)
    page.look()
    journal.append([("rewind", 100, 0.0, "{}")])
    log(journal, 101, 151, value=7.0)
    change = page.look()
    assert change is not None and change.first == 0
    assert page.steps.tolist() == list(range(151)) and page.mean[-1] == 7 * 150


def test_steps_that_come_late_are_put_in_order(journal: Journal) -> None:
    page = Page(LiveCurves(journal.path))
    for steps in ((0, 5), (10, 12), (5, 10), (12, 20)):
        log(journal, *steps)
        page.look()
    assert page.steps.tolist() == list(range(20))


def test_a_journal_in_the_place_of_another_is_read_from_its_beginning(journal: Journal, tmp_path: Path) -> None:
    page = Page(LiveCurves(journal.path))
    log(journal, 0, 50)
    page.look()
    with JournalReader(journal.path) as reader:
        reader.backup(tmp_path / "copy.db")
    journal.close()
    (tmp_path / "copy.db").replace(journal.path)
    change = page.look()
    assert change is not None and change.first == 0 and page.steps.size == 50
