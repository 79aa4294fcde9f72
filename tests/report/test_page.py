"""What the page says, read as text."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from touchline.catalog import Node
from touchline.config import Settings
from touchline.report.ancestry import Ancestry
from touchline.report.facts import Film
from touchline.report.films import embed
from touchline.report.page import Contents, _configuration, read_contents, render, write_report
from touchline.report.pictures import sketch
from touchline.report.siblings import band
from touchline.report.study import read_study
from touchline.report.subject import find_subject

from .conftest import JOBS, PIPELINE, begin
from .test_curves import taken


def contents_of(home: Path, word: str) -> Contents:
    settings = Settings(home=home, sinks=())
    return read_contents(find_subject(settings, word), settings, JOBS)


@pytest.fixture(scope="module")
def pipeline(home: Path) -> Contents:
    return contents_of(home, PIPELINE)


def test_the_head_says_what_happened_and_who_is_champion(pipeline: Contents) -> None:
    assert (
        pipeline.head.sentence.startswith("3 of 4 jobs finished") and "submit is not begun" in pipeline.head.sentence
    )
    assert pipeline.head.state == "unfinished"
    assert pipeline.head.verdict == "policies version 2 is the new champion. Version 1 was it before."
    assert "its score minus that of the champion" in pipeline.head.reason
    assert ("alerts", "1", "") in pipeline.tiles and ("cost", "0.49 USD", "") in pipeline.tiles
    assert any(what == "best eval/return" and figure == "500" for what, figure, _ in pipeline.tiles)


def test_jobs_are_drawn_in_order_with_those_that_have_not_begun(pipeline: Contents) -> None:
    assert [(stage.job, stage.state) for stage in pipeline.stages] == [
        ("setup", "finished"), ("pretrain", "finished"), ("gate3", "finished"), ("submit", "planned"),
    ]  # fmt: skip


def test_the_gate_shows_each_task_with_its_interval_and_the_mean(pipeline: Contents) -> None:
    assert pipeline.gate is not None and pipeline.gate.passed
    assert [(row.task, len(row.values)) for row in pipeline.gate.rows] == [
        ("goalie", 30),
        ("kick", 30),
        ("mean of tasks", 0),
    ]
    for row in pipeline.gate.rows:
        assert row.interval.low is not None and row.interval.high is not None
        assert row.interval.low < row.interval.mean < row.interval.high
    for row in pipeline.gate.rows[:2]:
        assert row.interval.mean == pytest.approx(np.mean(row.values))


def test_a_sketch_spans_its_lines_and_leaves_out_what_is_not_finite() -> None:
    front = {"x": [0, 1, 2, 4], "t": [0, 1, 2, 3], "y": [-1e308, 1e308, None, 0.0]}
    behind = {"x": [0, 4], "t": [0, 1], "y": [0.0, 0.0], "behind": True}
    drawn = re.findall(r'points="([^"]*)" style="stroke: var\(--([^)]*)\)', sketch({"lines": [front, behind]}))
    assert drawn == [("0,500 1000,500", "quiet"), ("0,1000 250,0 1000,500", "line-1")]
    assert 'points="0,1000 333,0 1000,500"' in sketch({"lines": [front], "axis": "time"})
    assert sketch({"lines": [{"x": [1], "t": [1], "y": [None]}]}) == ""
    long = {"x": list(range(10_000)), "t": list(range(10_000)), "y": list(range(10_000))}
    assert sketch({"lines": [long]}).count(",") == 200


def test_a_page_names_no_address_but_its_own_parts_and_lets_no_text_become_markup(pipeline: Contents) -> None:
    page = render(pipeline)
    outside = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # plotly's own text names its home page
    assert set(re.findall(r'(?:src|href)="(?!#|data:)([^"]*)"', outside)) == set()
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    assert "default-src 'none'" in page


def test_runs_of_a_group_are_drawn_with_their_band(home: Path) -> None:
    contents = contents_of(home, "seeds")
    (chapter,) = contents.learning
    assert chapter.runs == 3 and contents.head.sentence.startswith("3 of 3 runs finished")
    chart = next(chart for chart in chapter.charts if chart.title == "objective")
    assert [line["name"] for line in chart.data["lines"]] == ["seed-2", "seed-0", "seed-1"]
    assert (chart.data["band"]["low"][0], chart.data["band"]["high"][0], chart.data["band"]["runs"]) == (0, 10, 3)


def test_one_run_is_drawn_with_those_that_differ_in_their_seed(home: Path, tmp_path: Path) -> None:
    for seed, rate in ((0, 0.1), (1, 0.1), (2, 0.5)):
        with begin(tmp_path, f"r{seed}", config={"seed": seed, "lr": rate}) as run:
            run.log_curve("objective", range(5), [float(seed)] * 5)
    (chapter,) = contents_of(tmp_path, "r0").learning
    assert [line["name"] for line in chapter.charts.shown[0].data["lines"]] == ["r0", "r1"]


def test_a_band_covers_the_steps_that_all_curves_have() -> None:
    found = band([taken([0.0, 1.0, 2.0, 3.0], 10, 10), taken([2.0, 3.0, 4.0], 10, 10)])
    assert found is not None and (found.steps[0], found.steps[-1]) == (0.0, 2.0)
    assert (found.low[-1], found.mean[-1], found.high[-1]) == (2.0, 3.0, 4.0)
    assert band([taken([1.0], 10, 10), taken([2.0, 3.0], 10, 10)]) is None


def test_videos_are_in_the_page_while_there_is_room_the_newest_first(tmp_path: Path) -> None:
    films = []
    for number in range(3):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(b"x" * 3_000)
        films.append(Film(path, "rollout", number, "", float(number), "train"))
    gone = Film(tmp_path / "gone.mp4", "rollout", 9, "", 9.0, "train")
    found = embed([*films, gone], 9_000)
    assert [shown.film.step for shown in found.shown] == [2, 1]
    assert [film.step for film in found.named] == [9, 0]


def test_what_differs_from_the_champion_is_marked(pipeline: Contents) -> None:
    facts = next(facts for facts in pipeline.runs if facts.job == "pretrain")
    node = Node("version", "policies version 1", parents=(Node("run", "pretrain r9"),))
    ancestry = Ancestry(
        "policies version 2", node, "policies version 1", True, {"pretrain": {"seed": 0, "net.width": 32}}
    )
    found = _configuration(facts, ancestry)
    assert [(one.name, one.value, one.before) for one in found.parameters if one.differs] == [
        ("net.width", "64", "32")
    ]
    page = render(dataclasses.replace(pipeline, ancestry=ancestry, configurations=(found,)))
    assert page.count('<span class="tag">differs</span>') == 1
    assert "pretrain r9" in page and "the champion before it" in page


def test_what_cannot_be_read_is_told_and_the_rest_is_there(tmp_path: Path) -> None:
    with begin(tmp_path, "g", "gate3") as run:
        path = tmp_path / "evidence.json"
        path.write_text("{}")
        run.log_artifact(path)
    page = render(contents_of(tmp_path, "g"))
    assert "cannot be read (KeyError" in page and "The run of gate3 finished" in page


def test_a_run_is_called_by_the_name_that_was_given_to_it(tmp_path: Path) -> None:
    begin(tmp_path, "r1", "走路訓練", name="第一次").finish(timeout=5)
    page = render(contents_of(tmp_path, "r1"))
    assert "Run r1" in page and "The run 第一次 of 走路訓練 finished" in page


def test_a_run_that_recorded_nothing_has_a_page_without_a_script_for_curves(tmp_path: Path) -> None:
    begin(tmp_path, "r1").finish(timeout=5)
    settings = Settings(home=tmp_path, sinks=())
    report = write_report(find_subject(settings, "r1"), settings, tmp_path / "r1.html")
    assert report.size == (tmp_path / "r1.html").stat().st_size < 100_000


def test_a_study_is_told_with_its_plots(tmp_path: Path) -> None:
    from touchline.tuning.space import parse_space
    from touchline.tuning.storage import StudyStorage, default_url
    from touchline.tuning.study import Setup, open_study

    study, _ = open_study(StudyStorage(default_url(tmp_path)), "hill", Setup(parse_space(["x=0:1"])))
    for _ in range(5):
        trial = study.ask(10)
        assert trial is not None
        trial.suggest_float("x", 0, 1)
        study.complete(trial.number, -((trial.params["x"] - 0.5) ** 2), {})
    with begin(tmp_path, "tune", "tune", config={"study": "hill"}) as run:
        run.log({"study/best": 0.0}, 1)
    contents = contents_of(tmp_path, "tune")
    assert contents.study is not None and contents.study.progress.finished == 5
    assert "Best value so far" in [plot.title for plot in contents.study.plots]
    assert 'data-plot="study-0"' in render(contents)
    assert read_study(Settings(home=tmp_path / "elsewhere"), "hill") is None
