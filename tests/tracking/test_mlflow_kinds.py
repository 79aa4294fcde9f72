"""What each kind of event becomes in MLflow, read back from a real store."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

import touchline
from touchline.config import Settings
from touchline.tracking.journal import Event, JournalReader
from touchline.tracking.mlflow_store import connect
from touchline.tracking.sinks.base import RunInfo
from touchline.tracking.sinks.mlflow import MlflowSink
from touchline.tracking.sinks.mlflow_artifacts import newest_steps, stem

from .conftest import kill_couriers


def test_everything_a_run_records_is_in_mlflow(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "weights.bin").write_bytes(b"123")
    (tmp_path / "clip.mp4").write_bytes(b"a video")
    long = {"a/b": "x" * 7_000, "a_b": "y" * 7_000, "a@b": "z" * 7_000}
    run = touchline.start_run("train", config={"outer": {"inner": 3}, **long}, group="night", settings=settings)
    run.define_metric("loss", "minimize")
    run.log({"loss": 1.0, "acc@5": 0.5}, 1)
    run.log({"loss": 0.5, "acc@5": 0.6}, 2)
    run.set_summary({"final score": 7.5})
    run.log_image(np.zeros((8, 6, 3), np.uint8), "camera/left", step=40)
    run.log_video(tmp_path / "clip.mp4", "eval/kick", step=30)
    run.log_histogram("weights", np.array([0.0, 1.0, 1.0, np.nan]), step=20, bins=2)
    run.log_table("episodes", ["seed", "goal"], [[1, True], [2, False]], step=10)
    run.log_milestone(tmp_path / "policy", name="soccer.policy", version=3, aliases=["Champion"], digest="sha256:abc")
    run.log_dataset("kicks", digest="d" * 64, source="https://example.com/kicks.npz", context="evaluation")
    run.log_decision("refused", model="m", alias="Champion", version=4, previous=3, reason="It falls.")
    run._writer.put("console", {"stream": "stdout", "text": "hello\n"})
    run._writer.put("console", {"stream": "stderr", "text": "a warning\n"})
    run._writer.put("from the future", {"x": 1})
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()

    import mlflow

    client = connect(settings)
    assert run.mlflow_run_id is not None
    found = client.get_run(run.mlflow_run_id)
    tags, params = found.data.tags, found.data.params
    assert params["outer.inner"] == "3"
    assert tags["touchline.group"] == "night"
    assert tags["touchline.summary.final score"] == "7.5"
    assert (tags["touchline.goal.loss"], tags["touchline.summary.best/loss"]) == ("minimize", "0.5")
    assert json.loads(tags["touchline.milestone.soccer.policy.v3"]) == {
        "version": 3,
        "aliases": ["Champion"],
        "digest": "sha256:abc",
    }
    (decision,) = (value for key, value in tags.items() if key.startswith("touchline.decision."))
    assert decision == "m version 4 refused as @Champion (which stays version 3): It falls."
    assert tags["touchline.delivered"] == str(delivery["mlflow"].delivered)
    assert [one for one in delivery["mlflow"].set_aside if "acc@5" in one.reason]

    def content(path: str) -> bytes:
        return Path(client.download_artifacts(run.mlflow_run_id, path)).read_bytes()

    assert content("console.log") == b"hello\na warning\n"
    assert content("videos/eval~kick-30.mp4") == b"a video"
    assert json.loads(content("histograms/weights-20.json")) == {
        "step": 20,
        "name": "weights",
        "edges": [0.0, 0.5, 1.0],
        "counts": [1, 2],
        "non_finite": 1,
    }
    mlflow.set_tracking_uri(settings.tracking_uri)  # load_table() searches there, whatever its client's store is
    table = client.load_table(found.info.experiment_id, "tables/episodes-10.json", [run.mlflow_run_id])
    assert table.to_dict("list") == {"seed": [1, 2], "goal": [True, False]}
    images = sorted(item.path for item in client.list_artifacts(run.mlflow_run_id, "images"))
    assert len(images) == 2
    assert all(path.startswith("images/camera~left+step+40+timestamp+") for path in images)
    assert (images[0].endswith("+compressed.webp"), images[1].endswith(".png")) == (True, True)
    assert tags["mlflow.loggedImages"] == "True"
    texts = {content(item.path).decode()[0] for item in client.list_artifacts(run.mlflow_run_id, "params")}
    assert texts == {"x", "y", "z"}
    (dataset,) = found.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest, dataset.dataset.source_type) == ("kicks", "d" * 36, "http")
    assert [(tag.key, tag.value) for tag in dataset.tags] == [("mlflow.data.context", "evaluation")]
    assert tags["touchline.dataset.kicks"] == "d" * 64


def test_a_child_is_nested_in_its_parent_whichever_arrives_first(settings: Settings) -> None:
    child = touchline.start_run("train", parent="outer", settings=settings, run_id="child")
    assert child.wait_delivered("mlflow", 300)
    outer = touchline.start_run("pipeline", settings=settings, run_id="outer")
    inner = touchline.start_run("train", parent=outer, settings=settings, run_id="inner")
    orphan = touchline.start_run("train", parent="it's gone", settings=settings, run_id="orphan")
    assert all(run.finish(timeout=300).complete for run in (inner, orphan, child, outer))
    client = connect(settings)
    parent = {run.id: client.get_run(str(run.mlflow_run_id)).data.tags for run in (child, inner, orphan)}
    assert parent["child"]["mlflow.parentRunId"] == outer.mlflow_run_id
    assert parent["inner"]["mlflow.parentRunId"] == outer.mlflow_run_id
    assert parent["orphan"]["touchline.parent"] == "it's gone"
    assert "mlflow.parentRunId" not in parent["orphan"]


def test_the_console_text_is_whole_although_its_courier_was_killed_before_the_upload(settings: Settings) -> None:
    run = touchline.start_run("train", settings=settings)
    run._writer.put("console", {"stream": "stdout", "text": "first\n"})
    assert run.wait_delivered("mlflow", 300)
    kill_couriers(settings.home)
    run.log({"x": 1.0}, 1)
    assert run.finish(timeout=300).complete
    client = connect(settings)
    assert Path(client.download_artifacts(str(run.mlflow_run_id), "console.log")).read_text() == "first\n"


@pytest.mark.parametrize("name", ["eval", "camera/left", "a.b c-1"])
def test_a_usual_name_can_be_read_back_from_its_file(name: str) -> None:
    assert newest_steps(iter([f"videos/{stem(name)}-12.mp4", f"videos/{stem(name)}-7.mp4"])) == {name: 12}


def test_two_names_never_share_a_file() -> None:
    names = ["a/b", "a~b", "a_b", "a@b", "a?b", "..", "x" * 300, "x" * 301, "é", "ü"]
    stems = {stem(name) for name in names}
    assert len(stems) == len(names)
    assert all("/" not in text and text.strip(". ") for text in stems)


def test_files_that_never_change_are_linked_into_a_store_on_the_same_disk(settings: Settings, tmp_path: Path) -> None:
    checkpoint = tmp_path / "step-1"
    checkpoint.mkdir()
    (checkpoint / "state").write_bytes(b"x" * 1_000)
    (tmp_path / "notes.txt").write_text("may be edited")
    with touchline.start_run("train", settings=settings) as run:
        run.log_artifact(checkpoint, "checkpoints/step-1", unchanging=True)
        run.log_artifact(tmp_path / "notes.txt")
        assert run.wait_delivered("mlflow", 300)
        there = settings.artifact_root
    (arrived,) = there.rglob("checkpoints/step-1/state")
    assert arrived.samefile(checkpoint / "state")
    (notes,) = there.rglob("notes.txt")
    assert not notes.samefile(tmp_path / "notes.txt") and notes.stat().st_nlink == 1


@pytest.mark.parametrize("says_so", [True, False])
def test_a_courier_killed_before_it_closed_a_run_changes_not_when_the_run_ended(
    says_so: bool, settings: Settings, fresh_store: Path
) -> None:
    settings.home.mkdir(exist_ok=True)
    shutil.copy(fresh_store, settings.home / "mlflow.db")
    run = touchline.start_run("train", settings=dataclasses.replace(settings, sinks=(), capture=()))
    time.sleep(0.1)
    run.log({"loss": 1.0}, 1)
    run.finish(timeout=5)
    with JournalReader(run.directory / "journal.db") as journal:
        events = [event for event in journal.after(0) if says_so or event.kind != "end"]
    sink, info, last = MlflowSink(settings), RunInfo.from_start(events[0], run.directory), events[-1]
    assert sink.open(info, 0, 0).send(events) == []
    session = MlflowSink(settings).open(info, last.seq, last.seq)
    session.close("finished" if says_so else "killed", "", alert=False)
    found = connect(settings).get_run(session.remote_id)
    assert found.info.end_time == int(last.time * 1000) > found.info.start_time + 50


def test_what_is_logged_after_the_end_changes_not_when_the_run_ended(
    settings: Settings, fresh_store: Path, tmp_path: Path
) -> None:
    settings.home.mkdir(exist_ok=True)
    shutil.copy(fresh_store, settings.home / "mlflow.db")
    run = touchline.start_run("train", settings=dataclasses.replace(settings, sinks=(), capture=()))
    run.finish(timeout=5)
    (run.directory / "report.html").write_text("<!DOCTYPE html>")
    (run.directory / "delivery").mkdir()
    with JournalReader(run.directory / "journal.db") as journal:
        events = journal.after(0)
    later = Event(
        events[-1].seq + 1, "artifact", None, time.time() + 60, {"name": "report.html", "path": "report.html"}
    )
    sink, info, delivered = MlflowSink(settings), RunInfo.from_start(events[0], run.directory), 0
    for batch in (events, [later]):
        session = sink.open(info, delivered, delivered)
        assert session.send(batch) == []
        session.close("finished", "", alert=False)
        delivered = batch[-1].seq
    client = connect(settings)
    found = client.get_run(session.remote_id)
    assert (found.info.status, found.info.end_time) == ("FINISHED", int(events[-1].time * 1000))
    assert [file.path for file in client.list_artifacts(session.remote_id)] == ["report.html"]
