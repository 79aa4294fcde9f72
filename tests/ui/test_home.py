"""What the list knows of the runs of a home, look by look."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from touchline.catalog.lineage import PIPELINE_TAG
from touchline.config import Settings
from touchline.jobs.base import JOBS
from touchline.tracking.encoding import encode
from touchline.tracking.journal import FILE_NAME, Journal
from touchline.ui import home as home_module
from touchline.ui.home import Home, List, Row, pipelines

from .conftest import PIPELINE, begin


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_module, "PAUSE_SECONDS", 0.0)


def row(seen: List, run_id: str) -> Row:
    return next(row for row in seen.rows if row.id == run_id)


def test_a_large_home_is_read_over_several_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        begin(tmp_path, f"run-{number}").finish(timeout=5)
    monkeypatch.setattr(home_module, "LOOK_SECONDS", 1e-9)
    home = Home(Settings(home=tmp_path))
    assert home.look().unread == 5, "no time, nothing read, and nobody kept waiting"
    monkeypatch.setattr(home_module, "LOOK_SECONDS", 5.0)
    seen = home.look()
    assert (seen.unread, [row.id for row in seen.rows]) == (0, [f"run-{number}" for number in (4, 3, 2, 1, 0)])


def test_a_row_has_a_new_version_when_it_changed_and_only_then(tmp_path: Path) -> None:
    home = Home(Settings(home=tmp_path))
    begin(tmp_path, "over").finish(timeout=5)
    with begin(tmp_path, "living") as run:
        first = home.look()
        assert home.look().version == first.version
        run.log({"loss": 1.0}, 3)
        assert run._writer.flush(10.0)
        second = home.look()
        assert row(second, "living").version > first.version >= row(second, "over").version
    view = row(home.look(), "living").view
    assert view is not None and (view.state, view.step) == ("finished", 3)


def test_a_run_that_is_taken_up_again_comes_first(tmp_path: Path) -> None:
    home = Home(Settings(home=tmp_path))
    begin(tmp_path, "a").finish(timeout=5)
    time.sleep(0.01)
    begin(tmp_path, "b").finish(timeout=5)
    assert [row.id for row in home.look().rows] == ["b", "a"]
    begin(tmp_path, "a").finish(timeout=5)
    assert [row.id for row in home.look().rows] == ["a", "b"]


def test_a_run_that_vanishes_is_gone_and_one_that_breaks_says_so(tmp_path: Path) -> None:
    home = Home(Settings(home=tmp_path))
    for name in ("a", "b"):
        begin(tmp_path, name).finish(timeout=5)
    home.look()
    (tmp_path / "runs" / "a" / FILE_NAME).unlink()
    (tmp_path / "runs" / "b" / FILE_NAME).write_bytes(b"no database" * 1_000)
    seen = home.look()
    assert [row.id for row in seen.rows] == ["b"]
    assert seen.rows[0].view is None and "cannot be read" in seen.rows[0].trouble


def test_a_journal_that_holds_what_nobody_writes_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "runs" / "odd").mkdir(parents=True)
    journal = Journal(tmp_path / "runs" / "odd" / FILE_NAME)
    journal.append([("start", None, 0.0, encode("start", {"job": "train"}))])
    journal.close()
    (odd,) = Home(Settings(home=tmp_path)).look().rows
    assert "The run odd cannot be read (KeyError" in odd.trouble


def test_the_step_is_known_though_much_else_came_after_it(tmp_path: Path) -> None:
    with begin(tmp_path, "a") as run:
        run.log({"loss": 1.0}, 7)
        for number in range(1_100):
            run.set_tags({"n": number})
    (seen,) = Home(Settings(home=tmp_path)).look().rows
    assert seen.view is not None and seen.view.step == 7


def test_a_pipeline_has_its_jobs_in_order_and_what_has_not_begun(home: Path) -> None:
    (one,) = pipelines(Home(Settings(home=home)).look().rows, tuple(JOBS))
    assert one.id == PIPELINE
    assert [(stage.job, stage.state) for stage in one.stages[:3]] == [
        ("setup", "finished"), ("pretrain", "finished"), ("convert", "planned")
    ]  # fmt: skip
    assert one.stages[1].link == "/runs/p-pretrain"


def test_of_a_job_that_was_begun_anew_the_newest_run_counts(tmp_path: Path) -> None:
    tags = {PIPELINE_TAG: PIPELINE}
    for name in ("first", "second"):
        begin(tmp_path, name, "setup", tags=tags).finish(timeout=5)
        time.sleep(0.01)
    (one,) = pipelines(Home(Settings(home=tmp_path)).look().rows, ("setup",))
    assert one.runs == {"setup": "second"}
