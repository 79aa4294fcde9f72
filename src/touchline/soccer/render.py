"""Videos of trajectories: one to wait for, or many beside a training that never waits."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.errors import TouchlineError
from touchline.soccer.film import Rendered, read_result, save_model, start_job, stop_job, write_job

_log = logging.getLogger(__name__)


def render_trajectory(
    model: Any,
    qpos: NDArray[np.float64],
    path: Path,
    fps: float = 25.0,
    *,
    caption: str = "",
    timeout: float = 300.0,
) -> Rendered:
    """Render generalised positions ``qpos`` (T, nq), one frame a row, to an mp4 of 640x360 at ``path``.

    ``model`` is an ``MjModel`` as it was in the episode (a reset moves targets and defenders inside the model)
    or the name of a task. Waits for the video; raises TouchlineError when it cannot be made within ``timeout``
    seconds. See ``VideoRecorder`` for one that does not wait.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(model, str):
        from touchline.soccer.official_model import make_official

        model = make_official(model).sim.model._model
    with tempfile.TemporaryDirectory(prefix="render-", dir=path.parent) as place:
        job = Path(place)
        save_model(model, job / "model.mjb")
        write_job(job, model, job / "model.mjb", qpos, path, fps, caption)
        child = start_job(job)
        try:
            child.wait(timeout)
        except subprocess.TimeoutExpired:
            stop_job(child)
            raise TouchlineError(
                f"The video {path} was not ready after {timeout:.0f} s; render fewer than its {len(qpos)} frames."
            ) from None
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

    def __init__(self, directory: Path, fps: float = 25.0, *, waiting: int = 2, timeout: float = 600.0) -> None:
        """Write videos into ``directory``; ``waiting`` may queue, each is stopped after ``timeout`` seconds."""
        self._directory, self._fps, self._timeout = Path(directory), fps, timeout
        self._queue: deque[_Job] = deque()
        self._waiting = waiting
        self._running: tuple[_Job, subprocess.Popen[bytes], float] | None = None
        self._workshop: Path | None = None
        self._told: set[str] = set()
        self._done: list[Video] = []

    def submit(
        self, model: Any, qpos: NDArray[np.float64], *, step: int, caption: str = "", name: str = "video"
    ) -> None:
        """Hand over an episode: ``model`` (``MjModel``) as it is now and ``qpos`` (T, nq), a row a frame.

        The first video of a model saves it (0.1 s for an official one); later ones take milliseconds.
        """
        path = self._directory / f"{name}-{step:09d}.mp4"
        try:
            workshop = self._open_workshop()
            job = _Job(Path(tempfile.mkdtemp(dir=workshop)), path, step)
            write_job(job.place, model, _saved(model, workshop), qpos, path, self._fps, caption)
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
            self._directory.mkdir(parents=True, exist_ok=True)
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


def _saved(model: Any, workshop: Path) -> Path:
    """Return the file of ``model`` in ``workshop``; models of the same make share one."""
    make = hashlib.blake2b(bytes(model.names), digest_size=8)
    make.update(repr((model.nq, model.nv, model.ngeom, model.nmeshvert, model.ntexdata)).encode())
    file = workshop / f"{make.hexdigest()}.mjb"
    if not file.exists():
        save_model(model, file)
    return file


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
