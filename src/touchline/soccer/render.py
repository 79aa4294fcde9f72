"""Videos of trajectories: one to wait for, or many beside a training that never waits."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from touchline.errors import TouchlineError
from touchline.filesystem import make_private
from touchline.soccer.film import (
    FilmConfig,
    Rendered,
    frames_done,
    read_result,
    start_job,
    stop_job,
    write_job,
)
from touchline.soccer.trajectory import FPS, Trajectory

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.1


def render_trajectories(
    trajectories: Sequence[Trajectory],
    path: Path,
    config: FilmConfig | None = None,
    *,
    timeout: float = 300.0,
    on_frames: Callable[[int], None] = lambda count: None,
) -> Rendered:
    """Render trajectories, as tiles of one picture, to an mp4 at ``path``; the file appears whole or not at all.

    Waits for the video and tells ``on_frames`` how many frames there are; raises TouchlineError when it cannot be
    made within ``timeout`` seconds. See ``VideoRecorder`` for one that does not wait.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".render-", dir=path.parent) as place:
        job = Path(place)
        write_job(job, trajectories, job, path, config or FilmConfig())
        child, deadline = start_job(job), time.monotonic() + timeout
        try:
            while child.poll() is None:
                if time.monotonic() > deadline:
                    raise TouchlineError(
                        f"The video {path} was not ready after {timeout:.0f} s; "
                        f"render fewer than its {max(map(len, trajectories))} frames."
                    )
                on_frames(frames_done(job))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(min(_POLL_SECONDS, timeout))
        finally:
            stop_job(child)
        return read_result(job, path)


@dataclass(frozen=True)
class Video:
    """A finished video, ready for ``run.log_video``."""

    path: Path
    """The mp4 file."""
    step: int
    """The ``global_step`` it was submitted with."""
    renderer: str
    """``egl``, ``osmesa`` or ``drawn``."""


@dataclass(frozen=True)
class _Job:
    place: Path
    path: Path
    step: int


class VideoRecorder:
    """Renders trajectories one after the other in a low-priority process; a context manager.

    Nothing here raises or waits, ``close`` apart: what goes wrong is logged as one sentence, each but once, and
    that video is missing. When rendering falls behind, the oldest video that has not been begun is dropped.
    """

    def __init__(self, directory: Path, fps: float = FPS, *, waiting: int = 2, timeout: float = 600.0) -> None:
        """Write videos into ``directory``; ``waiting`` may queue, each is stopped after ``timeout`` seconds."""
        self._directory, self._fps, self._timeout = Path(directory), fps, timeout
        self._queue: deque[_Job] = deque()
        self._waiting = waiting
        self._running: tuple[_Job, subprocess.Popen[bytes], float] | None = None
        self._workshop: Path | None = None
        self._told: set[str] = set()
        self._done: list[Video] = []

    def submit(
        self, trajectories: Sequence[Trajectory], *, step: int, caption: str = "", name: str = "video"
    ) -> None:
        """Hand over episodes, to be tiles of one video.

        The first video of a model saves it (0.1 s for an official one); later ones take milliseconds.
        """
        path = self._directory / f"{name}-{step:09d}.mp4"
        try:
            workshop = self._open_workshop()
            job = _Job(Path(tempfile.mkdtemp(dir=workshop)), path, step)
            write_job(job.place, trajectories, workshop, path, FilmConfig(fps=self._fps, caption=caption))
        except (TouchlineError, OSError) as error:
            self._tell(f"The video of step {step} was not made: {error}")
            return
        self._queue.append(job)
        self._advance()
        while len(self._queue) > self._waiting:
            self._queue.popleft()
            self._tell("Videos come faster than they are rendered, and some are left out; record less often.")

    def poll(self) -> list[Video]:
        """Return the videos finished since the last call and begin the next one."""
        self._advance()
        done, self._done = self._done, []
        return done

    def close(self, timeout: float = 60.0) -> list[Video]:
        """Wait at most ``timeout`` seconds for what was submitted, drop the rest, return what is finished."""
        deadline = time.monotonic() + timeout
        self._advance()
        while self._running is not None and time.monotonic() < deadline:
            try:
                self._running[1].wait(deadline - time.monotonic())
            except subprocess.TimeoutExpired:
                break
            self._advance()
        left = len(self._queue) + (self._running is not None)
        if left:
            self._tell(f"{left} videos were not ready after {timeout:.0f} s and are left out.")
        if self._running is not None:
            stop_job(self._running[1])
            self._running = None
        self._queue.clear()
        if self._workshop is not None:
            shutil.rmtree(self._workshop, ignore_errors=True)
            self._workshop = None
        return self.poll()

    def __enter__(self) -> VideoRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(timeout=0.0)

    def _open_workshop(self) -> Path:
        """Return this recorder's working directory, after clearing away those of processes that were killed."""
        if self._workshop is None:
            make_private(self._directory)
            for left in self._directory.glob(".rendering-*"):
                if not _alive(int(left.name.split("-")[1])):
                    shutil.rmtree(left, ignore_errors=True)
            self._workshop = Path(tempfile.mkdtemp(prefix=f".rendering-{os.getpid()}-", dir=self._directory))
        return self._workshop

    def _advance(self) -> None:
        if self._running is not None:
            job, child, started = self._running
            if child.poll() is None:
                if time.monotonic() - started < self._timeout:
                    return
                stop_job(child)
            self._collect(job)
            self._running = None
        if self._queue:
            job = self._queue.popleft()
            try:
                self._running = (job, start_job(job.place, background=True), time.monotonic())
            except OSError as error:
                self._tell(f"The video of step {job.step} was not made: {error}")

    def _collect(self, job: _Job) -> None:
        try:
            rendered = read_result(job.place, job.path)
        except (TouchlineError, OSError) as error:
            self._tell(str(error))
        else:
            self._done.append(Video(rendered.path, job.step, rendered.renderer))
            if rendered.note:
                self._tell(f"Videos are drawn, not rendered. {rendered.note}")
        finally:
            shutil.rmtree(job.place, ignore_errors=True)

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            _log.warning(sentence)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
