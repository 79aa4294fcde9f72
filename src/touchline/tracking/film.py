"""The way of a video from the loop to the journal: a bounded queue, a thread that encodes, a budget of bytes."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchline.errors import TouchlineError
from touchline.filesystem import close_to_others, make_private
from touchline.tracking.encoder import Encoder
from touchline.tracking.frames import Episode, episodes_of
from touchline.tracking.grid import DIM, Grid, tile
from touchline.tracking.media import keep
from touchline.tracking.values import snapshot
from touchline.tracking.video import Video, encode_video
from touchline.tracking.writer import JournalWriter

logger = logging.getLogger("touchline")

CAPACITY_BYTES = 512 * 1024 * 1024
"""Memory that frames may take while they wait for the encoder and in it."""
FINISH_SECONDS = 20.0
"""At its end a run waits at most so long for the videos that it has been handed."""
_KILL_SECONDS = 2.0


@dataclass(frozen=True)
class _Film:
    frames: Grid | Episode
    name: str
    step: int
    caption: str
    fps: float
    stem: str
    """Name of the file without its ending."""
    size: int
    """Bytes of the frames in memory."""


class VideoQueue:
    """Takes videos from any thread, at once; encodes them one after the other and puts them into the journal.

    What goes wrong with frames is told once a cause and recorded as a ``problem``; nothing of it raises in the loop.
    """

    def __init__(self, directory: Path, writer: JournalWriter, budget: int, capacity: int = CAPACITY_BYTES) -> None:
        """``directory`` is the run's; ``budget`` (of files) and ``capacity`` (of frames in memory) are in bytes."""
        self._directory = directory
        self._writer = writer
        self._budget, self._capacity = budget, capacity
        self._waiting: deque[_Film] = deque()
        self._in_work: _Film | None = None
        self._encoder: Encoder | None = None
        self._changed = threading.Condition()
        self._memory = 0
        self._kept: int | None = None
        self._spent = False
        self._dropped: dict[str, int] = {}
        self._closed = self._abandoned = False
        self._thread: threading.Thread | None = None
        self._owner = os.getpid()

    def log(self, video: Any, name: str, step: int, caption: str, fps: float, stem: str) -> None:
        """Take a ``Video``, a file's path, or frames; ``stem`` is the name of the run's file without its ending.

        Raises TouchlineError when a file cannot be copied.
        """
        if isinstance(video, Video):
            caption, fps = caption or video.caption, video.fps
            video = video.path if video.path is not None else video.frames
        if isinstance(video, Path | str):
            self._keep_file(Path(video), name, step, caption, stem)
            return
        try:
            self._take(video, name, step, caption, fps, stem)
        except Exception as error:  # another library's array may raise anything
            self._problem(name, step, f"frames {error}", f"The video {name!r} of step {step} is not kept: {error}")

    def _keep_file(self, path: Path, name: str, step: int, caption: str, stem: str) -> None:
        size = path.stat().st_size if path.is_file() else 0
        with self._changed:
            fits = self._fits(size)
        if not fits:
            self._over_budget(name, step)
            return
        kept = keep(self._directory, path, "videos", stem + path.suffix)
        with self._changed:
            self._kept = (self._kept or 0) + size
        self._writer.put("video", {"name": name, "path": kept, "caption": caption}, step)

    def _take(self, video: Any, name: str, step: int, caption: str, fps: float, stem: str) -> None:
        if os.getpid() != self._owner:
            self._writer.tell("refusal", "This process was forked, and only its parent records the run's videos.")
            return
        frames, owned = _frames_of(video)
        if self._refuses(frames.nbytes, owned, name, step):
            return
        if not owned:
            frames, _ = _frames_of(snapshot({name: video})[name])
        film = _Film(frames, name, step, caption, fps, stem, frames.nbytes)
        with self._changed:
            if self._closed:
                self._writer.tell("refusal", "This run is finished, so its video is not kept. Log before finish().")
                return
            self._waiting.append(film)
            self._memory += film.size
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="touchline-video", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _refuses(self, size: int, owned: bool, name: str, step: int) -> bool:
        """True, once it has been told, when there is no room for so many bytes of frames."""
        if self._spent:
            self._over_budget(name, step)
            return True
        if size > self._capacity and not owned:
            remedy = "Hand it over without a copy, as a list: run.log_video([frames])"
        elif self._memory and self._memory + size > self._capacity:
            remedy = "Film less often, fewer frames, or smaller ones"
        else:
            return False  # a single one that was given away is taken whatever its size: its memory is there already
        self._problem(
            name,
            step,
            "room",
            f"The video {name!r} of step {step} is dropped: its {size / 2**20:,.1f} MiB of frames and the "
            f"{self._memory / 2**20:,.1f} MiB that wait for the encoder are more than the "
            f"{self._capacity / 2**20:,.0f} MiB that may wait. {remedy}.",
        )
        return True

    def _work(self) -> None:
        """The encoding thread, until all is done or abandoned."""
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting or self._abandoned:
                    return
                film = self._in_work = self._waiting.popleft()
            try:
                self._encode(film)
            except Exception as error:
                if not self._abandoned:
                    cause = str(error) if isinstance(error, TouchlineError) else f"{type(error).__name__}: {error}"
                    self._problem(
                        film.name, film.step, f"encoder {cause}",
                        f"The video {film.name!r} of step {film.step} is not kept: {cause}",
                    )  # fmt: skip
            finally:
                with self._changed:
                    self._memory -= film.size
                    self._in_work = self._encoder = None

    def _encode(self, film: _Film) -> None:
        with self._changed:
            fits = self._fits(0)
        if not fits:
            self._over_budget(film.name, film.step)
            return
        place = Path("media") / "videos" / secrets.token_hex(4)
        relative = place / f"{film.stem}.mp4"
        path = self._directory / relative
        try:
            make_private(path.parent)
            encode_video(film.frames, path, film.fps, background=True, started=self._begun)
            close_to_others(path)
            size = path.stat().st_size
            with self._changed:
                fits = self._fits(size)
                if fits:
                    self._kept = (self._kept or 0) + size
            if not fits:
                path.unlink()
                self._over_budget(film.name, film.step)
        finally:
            with contextlib.suppress(OSError):  # where nothing is kept, no empty directory stays
                path.parent.rmdir()
        if fits and not self._abandoned:
            payload = {"name": film.name, "path": str(relative), "caption": film.caption}
            self._writer.put("video", payload, film.step)

    def _begun(self, encoder: Encoder) -> None:
        with self._changed:
            self._encoder = encoder
            if self._abandoned:
                encoder.kill()

    def _fits(self, size: int) -> bool:
        """True while the budget has room for so many more bytes; once it had not, it has no more."""
        if self._kept is None:
            self._kept = sum(_kept_before(self._directory / "media" / "videos"))
        self._spent = self._spent or self._kept + size > self._budget
        return not self._spent

    def _over_budget(self, name: str, step: int) -> None:
        self._problem(
            name,
            step,
            "budget",
            f"The videos of this run have used their {self._budget / 1e6:,.1f} MB, so {name!r} of step {step} and "
            f"later ones are not kept. Give them more with TOUCHLINE_VIDEO_BYTES={max(2 * self._budget, 10**8)}, or "
            "film less often.",
        )

    def _problem(self, name: str, step: int, cause: str, sentence: str) -> None:
        """Tell and record the first of a cause; count the others."""
        with self._changed:
            count = self._dropped[cause] = self._dropped.get(cause, 0) + 1
        if count == 1:
            self._writer.tell(f"video {cause}", sentence)
            self._writer.put("problem", {"metric": name, "reason": sentence}, step)

    def close(self, timeout: float) -> None:
        """Wait at most ``timeout`` seconds for what was handed over, then say what is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            try:
                self._thread.join(max(timeout, 0.0))
            finally:
                self._abandon(timeout)
        if (count := sum(self._dropped.values())) > 1:
            sentence = f"{count} videos of this run were dropped in all; the first of each cause was told."
            self._writer.tell("videos dropped", sentence)
            self._writer.put("problem", {"metric": "video", "reason": sentence})

    def _abandon(self, timeout: float) -> None:
        """Drop what is left, and say so."""
        with self._changed:
            left = [*([self._in_work] if self._in_work else []), *self._waiting]
            self._abandoned = True
            self._waiting.clear()
            if self._encoder is not None:
                self._encoder.kill()
        if not left:
            return
        assert self._thread is not None
        self._thread.join(_KILL_SECONDS)
        names = ", ".join(f"{film.name!r} of step {film.step}" for film in left[:5]) + (", …" if left[5:] else "")
        sentence = (
            f"{len(left)} videos were not encoded within {timeout:g} s of the run's end and are dropped: {names}. "
            "Give run.finish() a longer timeout, or film less."
        )
        self._writer.tell("videos left", sentence)
        self._writer.put("problem", {"metric": left[0].name, "reason": sentence}, left[0].step)


def _frames_of(video: Any) -> tuple[Grid | Episode, bool]:
    """The frames to encode, and whether they were given away: by an array alone they are not, nor by its view."""
    if isinstance(video, Grid | Episode):
        return video, True
    if isinstance(video, Iterator):
        video = list(video)
    owned = isinstance(video, list | tuple)
    parts = episodes_of(video)
    return (parts[0] if len(parts) == 1 else tile(parts, None, DIM)), owned


def _kept_before(directory: Path) -> Iterator[int]:
    """Sizes of the videos that are there; what an encoder that was killed has left is cleared away."""
    for path in directory.glob("*/*"):
        try:
            if path.name.startswith(".") and path.name.endswith(".partial.mp4"):
                path.unlink()
            elif path.is_file():
                yield path.stat().st_size
        except OSError as error:
            logger.debug("%s: %s", path, error)
