"""Videos: made in another process, with or without OpenGL, and never in the way of the training."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from tests.simulation.pole import Pole
from touchline.errors import TouchlineError
from touchline.soccer.control import stand_still
from touchline.soccer.film import FilmConfig, _told, start_job
from touchline.soccer.official import OfficialEnv
from touchline.soccer.render import Video, VideoRecorder, render_trajectories
from touchline.soccer.trajectory import Trajectory

Episode = list[Trajectory]


@pytest.fixture(scope="module")
def episode() -> Episode:
    env = OfficialEnv("kick_to_target", stand_still())
    env.reset(seed=2)
    rows = []
    for _ in range(8):
        rows.append(env.qpos)
        env.step(np.zeros(12))
    return [Trajectory(env.visual_model, np.stack(rows), "kick to target")]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disable")


@pytest.fixture
def recorder(tmp_path: Path, drawn: None) -> Iterator[VideoRecorder]:
    with VideoRecorder(tmp_path) as made:
        yield made


def until(condition: Callable[[], Any], seconds: float = 300.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing within {seconds} s")


def size_of(path: Path) -> tuple[int, tuple[int, int]]:
    frames = imageio_ffmpeg.read_frames(str(path))
    size = next(frames)["size"]
    return sum(1 for _ in frames), size


def test_a_trajectory_becomes_a_video_of_as_many_frames(tmp_path: Path, episode: Episode) -> None:
    done = render_trajectories(episode, tmp_path / "new" / "kick.mp4", FilmConfig(caption="kick"))
    assert size_of(done.path) == (8, (640, 360))
    assert done.renderer == "drawn" if done.note else done.renderer in ("egl", "osmesa")
    assert [entry.name for entry in done.path.parent.iterdir()] == ["kick.mp4"]


def test_without_opengl_it_is_drawn_and_says_why(tmp_path: Path, episode: Episode, drawn: None) -> None:
    done = render_trajectories(episode, tmp_path / "kick.mp4")
    assert done.renderer == "drawn"
    assert "MUJOCO_GL=disable" in done.note
    assert size_of(done.path)[0] == 8


def test_another_robot_is_not_drawn_as_the_soccer_robot(tmp_path: Path, drawn: None) -> None:
    world = Pole()
    with pytest.raises(TouchlineError, match="only the soccer robot is drawn"):
        render_trajectories([Trajectory(world.visual_model, np.zeros((2, 9)), "")], tmp_path / "x.mp4")
    assert not list(tmp_path.iterdir())


def test_a_trajectory_of_another_model_is_refused(episode: Episode) -> None:
    with pytest.raises(TouchlineError, match=r"shape \(frames, 26\).*\(8, 5\)"):
        Trajectory(episode[0].model, episode[0].qpos[:, :5])


def test_a_renderer_that_takes_too_long_is_stopped(tmp_path: Path, episode: Episode, drawn: None) -> None:
    with pytest.raises(TouchlineError, match="not ready"):
        render_trajectories(episode, tmp_path / "kick.mp4", timeout=0.05)
    assert list(tmp_path.iterdir()) == []


def test_a_recorder_hands_over_and_collects_later(recorder: VideoRecorder, tmp_path: Path, episode: Episode) -> None:
    recorder.submit(episode, step=1_000, caption="step 1,000")
    recorder.submit(episode, step=2_000)
    assert recorder.poll() == []  # it did not wait
    videos = recorder.close(timeout=300)
    assert [video.step for video in videos] == [1_000, 2_000]
    assert all(size_of(video.path)[0] == 8 for video in videos)
    assert sorted(entry.suffix for entry in tmp_path.iterdir()) == [".mp4", ".mp4"]


def test_handing_over_a_known_model_takes_milliseconds(recorder: VideoRecorder, episode: Episode) -> None:
    recorder.submit(episode, step=1)
    begun = time.perf_counter()
    recorder.submit(episode, step=2)
    assert time.perf_counter() - begun < 0.1


def test_a_killed_renderer_costs_one_sentence_and_the_next_video_is_made(
    tmp_path: Path, episode: Episode, drawn: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    children = []

    def started(*args: Any, **kwargs: Any) -> Any:
        children.append(start_job(*args, **kwargs))
        return children[-1]

    monkeypatch.setattr("touchline.soccer.render.start_job", started)
    with VideoRecorder(tmp_path) as recorder, caplog.at_level(logging.WARNING):
        recorder.submit(episode, step=1)
        os.kill(children[0].pid, signal.SIGKILL)
        recorder.submit(episode, step=2)
        videos: list[Video] = until(recorder.poll)
    assert [video.step for video in videos] == [2]
    assert sum("could not be made" in message for message in caplog.messages) == 1


def test_a_full_disk_is_said_once_and_raises_nothing(
    recorder: VideoRecorder, episode: Episode, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("touchline.soccer.render.write_job", full)
    recorder.submit(episode, step=3)
    recorder.submit(episode, step=3)
    assert recorder.close(timeout=5) == []
    assert sum("video of step 3 was not made" in message for message in caplog.messages) == 1
    assert "No space left" in caplog.text


def test_the_oldest_waiting_video_gives_way(
    tmp_path: Path, episode: Episode, drawn: None, caplog: pytest.LogCaptureFixture
) -> None:
    with VideoRecorder(tmp_path, waiting=1) as recorder:
        for step in (1, 2, 3):
            recorder.submit(episode, step=step)
        steps = [video.step for video in recorder.close(timeout=300)]
    assert steps == [1, 3]
    assert "record less often" in caplog.text


def test_closing_at_once_leaves_no_process_and_no_file(tmp_path: Path, episode: Episode) -> None:
    recorder = VideoRecorder(tmp_path)
    recorder.submit(episode, step=1)
    begun = time.monotonic()
    assert recorder.close(timeout=0) == []
    assert time.monotonic() - begun < 5
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_training_left_is_cleared_away(
    recorder: VideoRecorder, tmp_path: Path, episode: Episode
) -> None:
    (tmp_path / ".rendering-999999999-dead").mkdir()
    mine = tmp_path / f".rendering-{os.getpid()}-alive"
    mine.mkdir()
    recorder.submit(episode, step=1)
    assert not (tmp_path / ".rendering-999999999-dead").exists()
    assert mine.exists()


def test_a_renderer_whose_owner_has_gone_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([77, 77, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    frames = _told([np.zeros((2, 2, 3), np.uint8)] * 20, tmp_path)
    with pytest.raises(SystemExit):
        list(frames)
