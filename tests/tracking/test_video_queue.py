"""Videos leave the loop at once, arrive in the journal, and stay within their bounds."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import touchline
from tests.tracking.conftest import trainer, until
from tests.tracking.test_video import assert_alike, gradient, read
from touchline.config import Settings
from touchline.tracking.film import VideoQueue
from touchline.tracking.run import Run
from touchline.tracking.start import start_run
from touchline.tracking.video import Video

Start = Callable[..., Run]


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Open runs that no sink is told of; they are finished after the test."""
    opened: list[Run] = []

    def start(**settings: Any) -> Run:
        opened.append(start_run("train", run_id="r1", settings=Settings(home=home, sinks=(), capture=(), **settings)))
        return opened[-1]

    yield start
    for run in opened:
        run.finish(timeout=0)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Encoders wait at this gate."""
    from touchline.tracking import film

    opened, encode = threading.Event(), film.encode_video

    def wait_and_encode(*args: Any, **kwargs: Any) -> Path:
        opened.wait()
        return encode(*args, **kwargs)

    monkeypatch.setattr(film, "encode_video", wait_and_encode)
    yield opened
    opened.set()


def events(run: Run, kind: str) -> list[tuple[int, dict[str, Any]]]:
    with contextlib.closing(sqlite3.connect(run.directory / "journal.db")) as journal:
        rows = journal.execute("SELECT step, payload FROM events WHERE kind = ? ORDER BY seq", (kind,)).fetchall()
    return [(step, json.loads(payload)) for step, payload in rows]


def videos_of(run: Run) -> list[tuple[int, str, Path]]:
    return [(step, payload["name"], run.directory / payload["path"]) for step, payload in events(run, "video")]


def problems_of(run: Run) -> list[str]:
    return [payload["reason"] for _, payload in events(run, "problem")]


def test_frames_become_the_video_of_the_step_at_which_they_were_filmed(start: Start) -> None:
    run, frames = start(), gradient()
    run.log({"loss": 1.0}, 5_000)
    run.log_video(frames, "eval/kick", caption="kick", fps=12)
    run.log({"loss": 1.0}, 6_000)
    run.finish()
    ((step, payload),) = events(run, "video")
    assert (step, payload["name"], payload["caption"]) == (5_000, "eval/kick", "kick")
    assert Path(payload["path"]).name == "eval-kick-5000.mp4"
    assert read(run.directory / payload["path"])[0]["fps"] == 12
    assert_alike(run.directory / payload["path"], frames)


def test_several_episodes_become_one_grid(start: Start) -> None:
    run = start()
    run.log_video([gradient(6), gradient(3), list(gradient(4))], step=1)
    run.finish()
    ((_, _, path),) = videos_of(run)
    assert read(path)[1].shape == (6, 96, 128, 3)


def test_what_the_caller_does_to_an_array_later_is_not_in_the_video(start: Start, gate: threading.Event) -> None:
    run, frames = start(), gradient()
    wanted = frames.copy()
    run.log_video(frames, step=1)
    frames[:] = 0
    gate.set()
    run.finish()
    assert_alike(videos_of(run)[0][2], wanted)


def test_a_list_is_given_away_without_a_copy_and_may_be_filled_anew(start: Start, gate: threading.Event) -> None:
    run, frames = start(), gradient()
    rendered = list(frames)
    run.log_video(rendered, step=1)
    rendered.clear()
    frames[:] = 255 - frames
    gate.set()
    run.finish()
    assert_alike(videos_of(run)[0][2], frames)  # the inverted one: it is still the caller's memory


def test_a_video_among_the_metrics_goes_where_log_video_brings_it(start: Start) -> None:
    run = start()
    run.log({"loss": 0.5, "video": touchline.get_wandb_video([gradient(3), gradient(2)], n_cols=1, fps=15)}, 7)
    run.finish()
    assert [(step, dict(payload)) for step, payload in events(run, "metrics")] == [(7, {"loss": 0.5})]
    ((step, name, path),) = videos_of(run)
    assert (step, name) == (7, "video")
    assert read(path)[0]["fps"] == 15
    assert read(path)[1].shape == (3, 96, 64, 3)
    assert problems_of(run) == []


def test_a_video_object_may_name_a_file(start: Start, tmp_path: Path) -> None:
    run = start()
    path = touchline.encode_video(gradient(), tmp_path / "a.mp4", 10)
    run.log({"film": Video(path=path, caption="from a file")}, 3)
    run.finish()
    ((step, payload),) = events(run, "video")
    assert (step, payload["name"], payload["caption"]) == (3, "film", "from a file")
    assert (run.directory / payload["path"]).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("frames", [np.zeros((4, 5), np.uint8), np.full((2, 8, 8, 3), 7.0), 5, [], object()])
def test_frames_that_are_no_video_are_a_problem_and_no_exception(
    start: Start, frames: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = start()
    run.log_video(frames, "eval", step=4)
    run.log_video(gradient(), "eval", step=5)
    run.finish()
    assert [step for step, _, _ in videos_of(run)] == [5]
    (problem,) = problems_of(run)
    assert problem.startswith("The video 'eval' of step 4 is not kept")
    assert caplog.text.count("The video 'eval' of step 4") == 1


def test_a_full_queue_drops_the_video_and_says_so_once(
    home: Path, start: Start, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    run = start()
    frames = gradient()
    queue = VideoQueue(run.directory, run._writer, budget=10**9, capacity=2 * frames.nbytes)
    for step in range(5):
        queue.log(frames, "eval", step, "", 25, f"eval-{step}")
    gate.set()
    queue.close(20)
    run.finish()
    assert [step for step, _, _ in videos_of(run)] == [0, 1]
    first, total = problems_of(run)
    assert "The video 'eval' of step 2 is dropped" in first and "Film less often" in first
    assert total.startswith("3 videos of this run were dropped in all")
    assert caplog.text.count("is dropped") == 1


def test_one_video_larger_than_the_queue_is_taken_if_it_is_given_away(start: Start) -> None:
    run, frames = start(), gradient()
    queue = VideoQueue(run.directory, run._writer, budget=10**9, capacity=frames.nbytes - 1)
    queue.log(frames, "eval", 1, "", 25, "eval-1")
    queue.log([frames], "eval", 2, "", 25, "eval-2")
    queue.close(20)
    run.finish()
    assert [step for step, _, _ in videos_of(run)] == [2]
    assert "run.log_video([frames])" in problems_of(run)[0]


def test_memory_is_free_again_once_a_video_is_encoded(start: Start) -> None:
    run, frames = start(), gradient()
    queue = VideoQueue(run.directory, run._writer, budget=10**9, capacity=frames.nbytes)
    for step in range(3):
        queue.log(frames, "eval", step, "", 25, f"eval-{step}")
        until(lambda: queue._memory == 0)
    queue.close(20)
    run.finish()
    assert [step for step, _, _ in videos_of(run)] == [0, 1, 2]


def test_above_its_budget_no_video_is_kept_and_the_remedy_is_told_once(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (10, 64, 64, 3), dtype=np.uint8)
    run = start(video_bytes=100_000)
    for step in range(6):
        run.log_video(noise, step=step)
    run.finish()
    kept = videos_of(run)
    files = [path for path in (run.directory / "media" / "videos").rglob("*") if path.is_file()]
    assert sorted(files) == sorted(path for _, _, path in kept)
    assert 0 < sum(path.stat().st_size for path in files) <= 100_000
    assert [step for step, _, _ in kept] == list(range(len(kept)))
    assert len(kept) < 6
    assert "TOUCHLINE_VIDEO_BYTES=" in problems_of(run)[0]
    assert caplog.text.count("TOUCHLINE_VIDEO_BYTES") == 1


def test_a_run_that_goes_on_counts_what_it_kept_before(start: Start, tmp_path: Path) -> None:
    path = touchline.encode_video(gradient(), tmp_path / "a.mp4", 10)
    budget = path.stat().st_size * 3 // 2
    run = start(video_bytes=budget)
    run.log_video(path, step=1)
    run.finish()
    again = start(video_bytes=budget)
    again.log_video(path, step=2)
    again.log_video(gradient(), step=3)
    again.finish()
    assert [step for step, _, _ in videos_of(again)] == [1]
    more = start(video_bytes=10**9)
    more.log_video(path, step=4)
    more.finish()
    assert [step for step, _, _ in videos_of(more)] == [1, 4]


def test_finish_waits_for_what_was_handed_over(start: Start) -> None:
    run = start()
    for step in range(4):
        run.log_video(gradient(), step=step)
    run.finish(timeout=20)
    assert [step for step, _, _ in videos_of(run)] == [0, 1, 2, 3]
    assert [kind for kind in ("video", "end") if events(run, kind)] == ["video", "end"]


def test_finish_does_not_wait_for_ever_and_names_what_it_drops(
    start: Start, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    run = start()
    run.log_video(gradient(), "eval", step=1)
    run.log_video(gradient(), "eval", step=2)
    until(lambda: run._videos._in_work)
    run.finish(timeout=0.2)
    (problem,) = problems_of(run)
    assert problem.startswith("2 videos were not encoded within 0.2 s")
    assert "'eval' of step 1, 'eval' of step 2" in problem
    assert videos_of(run) == []
    assert events(run, "end")[0][1]["status"] == "finished"
    assert problem in caplog.text


def test_an_encoder_that_hangs_is_killed_at_the_end(start: Start) -> None:
    run = start()
    run.log_video([np.zeros((16, 16, 3), np.uint8)] * 100_000, "eval", step=1)
    until(lambda: run._videos._encoder)
    encoder = run._videos._encoder
    assert encoder is not None
    os.kill(encoder._process.pid, signal.SIGSTOP)
    run.finish(timeout=0.2)
    assert encoder._process.wait(10) == -signal.SIGKILL
    assert problems_of(run)[0].startswith("1 videos were not encoded")
    assert run._videos._thread is not None
    run._videos._thread.join(10)
    assert not any(path.is_file() for path in (run.directory / "media").rglob("*"))


def test_an_encoder_that_dies_costs_its_video_alone(start: Start) -> None:
    run = start()
    run.log_video([np.zeros((16, 16, 3), np.uint8)] * 100_000, "eval", step=1)
    until(lambda: run._videos._encoder)
    encoder = run._videos._encoder
    assert encoder is not None
    encoder.kill()
    run.log_video(gradient(), "eval", step=2)
    run.finish()
    assert [step for step, _, _ in videos_of(run)] == [2]
    (problem,) = problems_of(run)
    assert "The video 'eval' of step 1 is not kept" in problem and "killed by signal 9" in problem


def test_without_the_encoder_one_sentence_says_what_to_install(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    run = start()
    for step in range(3):
        run.log_video(gradient(), step=step)
    run.finish()
    assert caplog.text.count("pip install imageio-ffmpeg") == 1
    assert "pip install imageio-ffmpeg" in problems_of(run)[0]
    assert events(run, "video") == []


def test_after_the_end_nothing_is_taken(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    run = start()
    run.finish()
    with caplog.at_level(logging.WARNING):
        run.log_video(gradient(), step=1)
    assert "run is finished" in caplog.text
    assert events(run, "video") == []


def test_a_killed_training_leaves_no_encoder_and_its_rest_is_cleared_away(
    home: Path, start: Start, tmp_path: Path
) -> None:
    body = """
        import numpy as np
        run.log_video([np.zeros((16, 16, 3), np.uint8)] * 100_000, step=1)
        while not run._videos._encoder:
            time.sleep(0.01)
        print(run._videos._encoder._process.pid, flush=True)
        time.sleep(60)
    """
    process = trainer(home, body, tmp_path, sinks=())
    assert process.stdout is not None
    encoder = int(process.stdout.readline())
    process.kill()
    process.wait()
    until(lambda: not Path(f"/proc/{encoder}/exe").exists())
    run = start()
    run.log_video(gradient(), step=2)
    run.finish()
    files = [path for path in (run.directory / "media" / "videos").rglob("*") if path.is_file()]
    assert files == [path for _, _, path in videos_of(run)]


def test_other_ranks_encode_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    run = start_run("train", settings=Settings(home=home, sinks=()))
    run.log_video(gradient(), step=1)
    run.log({"loss": 1.0, "video": Video(gradient())}, 2)
    run.finish()
    assert run._videos._thread is None
    assert not list(run.directory.rglob("*.mp4"))


def test_wandb_itself_takes_the_same_object(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    run = start()
    with wandb.init(mode="offline", dir=str(tmp_path), settings=wandb.Settings(silent=True)) as native:
        video = touchline.get_wandb_video([gradient(3), gradient(2)], n_cols=2, fps=15)
        wandb.log({"video": video}, step=1)
        run.log({"video": video}, 1)
        (stored,) = Path(native.dir).rglob("*.mp4")
        assert read(stored)[1].shape == (3, 48, 128, 3)
    run.finish()
    ((step, name, path),) = videos_of(run)
    assert (step, name) == (1, "video")
    assert path.read_bytes() == stored.read_bytes()
