"""One ffmpeg process that turns frames into an mp4: frugal, out of the training's way, and gone when that is."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.errors import TouchlineError, is_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NICENESS = 19
"""Of an encoder beside a training: where that uses every core, the encoder gets about a tenth of one."""
FASTEST = 1_000
"""Frames a second."""
LARGEST_SIDE = 4_096
"""Pixels; what is larger is scaled down, because players refuse it."""
_MOST_BUFFERS = 1_024
"""That one system call takes."""
_open_encoders: weakref.WeakSet[Encoder] = weakref.WeakSet()


def refuse_speed(fps: Any) -> None:
    """Raise TouchlineError where a video cannot have ``fps`` frames a second."""
    if not is_number(fps) or not 0 < fps <= FASTEST:
        raise TouchlineError(
            f"A video cannot have {fps!r} frames a second. Give a number above 0 and at most {FASTEST}; 25 is usual."
        )


class Encoder:
    """Encodes frames of one size to H.264 in one thread; only one thread may write."""

    def __init__(self, path: Path, height: int, width: int, fps: float, *, background: bool = False) -> None:
        """Start ffmpeg, which overwrites ``path``; in the background it yields the processor to others.

        Raises TouchlineError when there is no ffmpeg or it cannot be started.
        """
        refuse_speed(fps)
        if height < 2 or width < 2:
            raise TouchlineError(f"A frame of {width}x{height} pixels is too small. Film at least 2x2 of them.")
        self._path = path
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - read and closed in close()
        try:
            self._process = subprocess.Popen(
                _command(path, height, width, fps),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                bufsize=0,
                # Ctrl-C is for the training, which then still finishes its videos. No session of its own: Linux
                # weighs niceness only among the processes of one session.
                process_group=0,
            )
        except OSError as error:
            self._errors.close()
            raise TouchlineError(f"The encoder ffmpeg could not be started ({error}).") from error
        if background:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)
        _open_encoders.add(self)

    def write(self, frames: Sequence[NDArray[np.uint8]]) -> None:
        """Encode some frames (H, W, 3) of uint8. Raises TouchlineError when the encoder has died."""
        import numpy as np

        assert self._process.stdin is not None
        rest = [np.ascontiguousarray(frame).data.cast("B") for frame in frames]
        try:
            pipe = self._process.stdin.fileno()
            while rest:
                written = os.writev(pipe, rest[:_MOST_BUFFERS])
                while rest and written >= len(rest[0]):
                    written -= len(rest.pop(0))
                if written:
                    rest[0] = rest[0][written:]
        except (OSError, ValueError) as error:
            raise self._failure() from error

    def close(self) -> None:
        """Finish the file. Raises TouchlineError when the encoder failed."""
        self._end_of_frames()
        self._process.wait()
        if self._process.returncode != 0:
            raise self._failure()
        self._errors.close()

    def kill(self) -> None:
        """End the encoder now, from any thread; the file is of no use then."""
        self._process.kill()

    def discard(self) -> None:
        """Kill the encoder, unless it has ended, and wait for its end."""
        self._process.kill()
        self._end_of_frames()
        self._process.wait()
        self._errors.close()

    def _end_of_frames(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _failure(self) -> TouchlineError:
        self._end_of_frames()
        code = self._process.wait()
        said = ""
        if not self._errors.closed:
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            # The first is the cause, what follows its consequences; "[out#0/mp4 @ 0x…]" is for ffmpeg's developers.
            said = lines[0].rpartition("] ")[2] if lines else ""
        if code < 0:
            cause, remedy = (
                f"it was killed by signal {-code}",
                "The machine may have run out of memory: film less at once.",
            )
        else:
            cause, remedy = said or f"it ended with code {code}", "Check the disk's space."
        return TouchlineError(f"The encoder of {self._path} failed: {cause}. {remedy}")


def _command(path: Path, height: int, width: int, fps: float) -> list[str]:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise TouchlineError(
            "Videos need the encoder that imageio-ffmpeg brings along; install it with: pip install imageio-ffmpeg"
        ) from error
    try:
        executable = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise TouchlineError(
            f"imageio-ffmpeg has found no ffmpeg ({error}). Name one with IMAGEIO_FFMPEG_EXE=/path/to/ffmpeg."
        ) from error
    # H.264 as browsers play it has even sides.
    picture = f"crop={width // 2 * 2}:{height // 2 * 2}:0:0"
    if max(height, width) > LARGEST_SIDE:
        side = f"{LARGEST_SIDE}:-2" if width >= height else f"-2:{LARGEST_SIDE}"
        picture += f",scale={side}"
    # Players take a video without a word on its colours for BT.709, and ffmpeg would convert to BT.601.
    picture += ",scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
    colours = [part for name in ("colorspace", "color_primaries", "color_trc") for part in (f"-{name}", "bt709")]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
    frugal = ["-filter_threads", "1", "-threads", "1", "-preset", "veryfast", "-crf", "23"]
    return [
        executable, "-hide_banner", "-loglevel", "error", "-nostats", *source, "-an", "-vf", picture,
        "-c:v", "libx264", *frugal, *colours, "-movflags", "+faststart", "-y", str(path),
    ]  # fmt: skip


def _after_fork() -> None:
    """A forked child keeps no encoder waiting for frames after the death of its owner."""
    for encoder in list(_open_encoders):
        encoder._end_of_frames()


os.register_at_fork(after_in_child=_after_fork)
