"""Videos: frames to a playable file, and the object that ``run.log`` takes among its numbers."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from touchline.errors import TouchlineError
from touchline.tracking.encoder import Encoder, refuse_speed
from touchline.tracking.frames import Episode, as_rgb
from touchline.tracking.grid import Grid, tile

BATCH_BYTES = 32 * 1024 * 1024
"""Frames are handed to the encoder so many bytes at a time: each time a busy loop has to yield the interpreter."""


class _Recording(Protocol):
    def log_video(self, video: Any, name: str, step: int | None) -> None: ...


@dataclass(frozen=True, eq=False)
class Video:
    """A video to log: ``run.log({"video": video}, step)`` records it as ``run.log_video`` does.

    It has either ``frames`` or ``path``. Raises TouchlineError when it has both or none, or no usable ``fps``.
    """

    frames: Any = None
    """What ``run.log_video`` takes: frames (T, H, W, 3), a list of episodes, or a grid from ``tile``."""
    path: Path | None = None
    """A finished file: mp4, webm or gif."""
    fps: float = 25.0
    """Frames a second, of ``frames``; a file has its own."""
    caption: str = ""

    def __post_init__(self) -> None:
        if (self.frames is None) == (self.path is None):
            raise TouchlineError("A Video is made of frames or of the path of a file. Give one of the two.")
        refuse_speed(self.fps)

    def log_to(self, run: _Recording, name: str, step: int | None) -> None:
        """Record it in ``run``; called by ``run.log``."""
        run.log_video(self, name, step)


def encode_video(
    frames: Any,
    path: Path | str,
    fps: float,
    *,
    background: bool = False,
    started: Callable[[Encoder], None] | None = None,
) -> Path:
    """Encode ``frames`` as H.264 mp4 that browsers play, at ``path``, and return it.

    ``frames`` is an array (T, H, W, 3) of uint8, anything else that ``tile`` takes as an episode, a grid, or an
    iterable of frames (H, W, 3), of which only 32 MiB are in memory at a time. Odd heights and widths lose their last
    row or column. In the ``background`` it yields the processor to others; ``started`` is given the encoder, so that
    another thread can kill it. The file appears complete or not at all. Raises TouchlineError on other shapes or
    values, and when the encoder fails.
    """
    path = Path(path)
    partial = partial_of(path)
    encoder: Encoder | None = None
    size: tuple[int, ...] = ()
    batch: list[Any] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for frame in _pictures(frames):
            if encoder is None:
                size = frame.shape
                encoder = Encoder(partial, size[0], size[1], fps, background=background)
                if started is not None:
                    started(encoder)
            if frame.shape != size:
                raise TouchlineError(f"The frames of a video have one size, and these have {size} and {frame.shape}.")
            batch.append(frame)
            if len(batch) * frame.nbytes >= BATCH_BYTES:
                encoder.write(batch)
                batch = []
        if encoder is None:
            raise TouchlineError("A video needs at least one frame, and there is none. Film before encoding.")
        encoder.write(batch)
        encoder.close()
        partial.replace(path)
    except OSError as error:
        raise TouchlineError(f"The video {path} could not be written ({error}). Check the disk's space.") from error
    finally:
        if encoder is not None:
            encoder.discard()
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return path


def partial_of(path: Path) -> Path:
    """Where a video is while it is being encoded."""
    return path.with_name(f".{path.stem}.partial.mp4")


def get_wandb_video(renders: Any, n_cols: int | None = None, fps: float = 15) -> Any:
    """Tile episodes (each (T, H, W, C) of uint8) into one video to log: ``wandb.log({"video": video}, step=i)``.

    Episodes that have ended stay, dimmed; ``n_cols`` None makes the grid as square as it can be. Returns a ``Video``
    for ``run.log``, encoded off the loop. While a run of wandb itself is open in this process, it is a
    ``wandb.Video``, encoded at once, which ``run.log`` takes too. Raises TouchlineError on other shapes or
    an unusable ``fps``.
    """
    video = Video(frames=tile(renders, n_cols), fps=fps)
    wandb = sys.modules.get("wandb")
    return video if getattr(wandb, "run", None) is None else _as_wandb(video)


def _as_wandb(video: Video) -> Any:
    import wandb

    place = tempfile.TemporaryDirectory(prefix="touchline-video-")
    path = encode_video(video.frames, Path(place.name) / "video.mp4", video.fps)
    made = wandb.Video(str(path), caption=video.caption or None, format="mp4")
    made.log_to = replace(video, frames=None, path=path).log_to
    made.directory = place  # the file stays as long as the object
    return made


def _pictures(frames: Any) -> Iterable[Any]:
    """RGB frames of whatever holds them."""
    if isinstance(frames, list | tuple) or (hasattr(frames, "shape") and not isinstance(frames, Grid)):
        frames = Episode(frames)
    if isinstance(frames, Grid | Episode):
        return iter(frames)
    return (as_rgb(frame) for frame in frames)
