"""What TensorBoard reads from the event file."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import touchline
from touchline.config import Settings
from touchline.tracking.delivery import read_cursor, read_delivery
from touchline.tracking.journal import Journal, JournalReader
from touchline.tracking.sinks.base import RunInfo
from touchline.tracking.sinks.tensorboard import TensorboardSink

from .conftest import kill_couriers, trainer, until

if TYPE_CHECKING:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def test_scalars_can_be_read_back_once_each_although_the_courier_was_killed(home: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = touchline.start_run("train", config={"rate": 0.1}, settings=Settings(home=home, sinks=("tensorboard",)))
    for step in range(100):
        run.log({"x": step / 2, "none": math.nan}, step)
    assert run.wait_delivered("tensorboard", 300)
    assert kill_couriers(home)
    for step in range(100, 200):
        run.log({"x": step / 2}, step)
    run.alert("hot")
    run.log_decision("refused", model="m", alias="Champion", version=4, previous=3, reason="It falls.")
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    events = EventAccumulator(str(run.directory / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("x")] == [(step, step / 2) for step in range(200)]
    assert all(math.isnan(event.value) for event in events.Scalars("none"))
    assert {"alerts", "decisions"} <= set(events.Tags()["tensors"])


def test_an_interrupt_from_the_terminal_ends_the_training_but_not_its_couriers(home: Path, tmp_path: Path) -> None:
    body = """
    for step in range(100_000):
        run.log({"x": step}, step)
        if step == 10:
            print("going", flush=True)
        time.sleep(0.01)
    """
    process = trainer(home, body, tmp_path, sinks=("tensorboard",))
    assert process.stdout is not None
    assert process.stdout.readline() == "going\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
    process.wait(30)
    run_directory = home / "runs" / "r1"
    until(lambda: read_delivery(run_directory, ["tensorboard"]).complete)
    assert read_cursor(run_directory, "tensorboard").closed == "killed"
    with JournalReader(run_directory / "journal.db") as journal:
        end = journal.newest("end")
    assert end is not None
    assert end.payload["reason"] == "Interrupted from the keyboard."


def test_runs_of_one_process_one_after_another_and_at_once_are_all_delivered(home: Path) -> None:
    settings = Settings(home=home, sinks=("tensorboard",))
    outer = touchline.start_run("pipeline", settings=settings)
    for step in range(3):
        with touchline.start_run("train", settings=settings) as run:
            run.log({"x": step}, step)
        assert run.delivery().complete
        outer.log({"jobs": step}, step)
    assert outer.finish().complete


def read(run: touchline.Run) -> EventAccumulator:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.directory / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    return events.Reload()


def test_a_rewind_shows_only_the_newest_attempt_at_once_and_after_its_courier_was_killed(home: Path) -> None:
    settings = Settings(home=home, sinks=("tensorboard",))
    run = touchline.start_run("train", config={"rate": 0.1}, settings=settings, run_id="r1")
    for step in range(10):
        run.log({"x": step}, step)
    run.log_histogram("h", [1.0, 2.0], step=9)
    assert run.finish(timeout=300).complete
    run = touchline.start_run("train", settings=settings, run_id="r1", resume=4)
    run.log({"x": 50}, 5)
    assert run.wait_delivered("tensorboard", 300)
    before = {path.name for path in (run.directory / "tensorboard").iterdir()}
    assert [(event.step, event.value) for event in read(run).Scalars("x")] == [*((s, s) for s in range(5)), (5, 50)]
    assert "h" not in read(run).Tags()["tensors"]

    kill_couriers(home)
    run.log({"x": 60}, 6)
    assert run.finish(timeout=300).complete
    assert [event.value for event in read(run).Scalars("x")] == [0, 1, 2, 3, 4, 50, 60]
    after = {path.name for path in (run.directory / "tensorboard").iterdir()}
    assert max(after) > max(before)  # a page that is open finds the new file


def test_a_rewind_that_reaches_a_living_courier_begins_a_new_file(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    journal = Journal(tmp_path / "journal.db")
    info = RunInfo("r1", "train", "r1", "p", tmp_path, 1.0)
    with JournalReader(tmp_path / "journal.db") as reader:
        journal.append([("metrics", step, 2.0, f'{{"x": {step}}}') for step in range(5)])
        session = TensorboardSink(Settings(home=tmp_path)).open(info, 0, 0)
        session.send(reader.after(0))
        journal.append([("rewind", 2, 3.0, "{}"), ("metrics", 3, 3.0, '{"x": 33}')])
        session.send(reader.after(5))
        assert session.acknowledged() == 7
        session.close("finished", "", False)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("x")] == [(0, 0), (1, 1), (2, 2), (3, 33)]
    journal.close()


def test_pictures_videos_tables_and_parameters_are_in_their_places(home: Path, tmp_path: Path) -> None:
    from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data
    from tensorboard.util.tensor_util import make_ndarray

    run = touchline.start_run(
        "train", config={"rate": 0.1, "on": True}, settings=Settings(home, sinks=("tensorboard",))
    )
    frames = np.zeros((12, 64, 96, 3), np.uint8)
    frames[:, :, 40:50] = 255
    run.log_video(touchline.encode_video(frames, tmp_path / "clip.mp4", 25), "eval", step=3)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    run.log_video(tmp_path / "broken.mp4", "broken", step=3)
    run.log_image(frames[0], "still", step=4)
    run.log_histogram("weights", np.array([0.0, 1.0, 1.0]), step=5, bins=2)
    run.log_table("episodes", ["seed", "note"], [[1, "a|b"]], step=6)
    run.log_params({"layers": [2, 3]})
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    assert [one for one in delivery["tensorboard"].set_aside if "broken" in one.reason]

    events = read(run)
    (video,), (still,) = events.Images("eval"), events.Images("still")
    assert (video.step, video.width, video.height, video.encoded_image_string[:3]) == (3, 96, 64, b"GIF")
    assert (still.step, still.width, still.height, still.encoded_image_string[1:4]) == (4, 96, 64, b"PNG")
    (weights,) = events.Tensors("weights")
    assert make_ndarray(weights.tensor_proto).tolist() == [[0.0, 0.5, 1.0], [0.5, 1.0, 2.0]]
    (episodes,) = events.Tensors("table/episodes")
    assert episodes.tensor_proto.string_val[0].decode() == "| seed | note |\n| --- | --- |\n| 1 | a\\|b |\n"
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    params = parse_session_start_info_plugin_data(content).hparams
    assert (params["rate"].number_value, params["on"].bool_value) == (0.1, True)
    assert params["layers"].string_value == "[2, 3]"
    assert "_hparams_/session_end_info" in events.Tags()["tensors"]
