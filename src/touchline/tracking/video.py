"""Video files from frames, encoded with the ffmpeg that imageio-ffmpeg brings along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from touchline.errors import TouchlineError

if TYPE_CHECKING:
    import numpy as np


def encode_video(frames: np.ndarray, path: Path, fps: float) -> Path:
    """Encode ``frames`` (T, H, W, 3) uint8 as H.264 mp4 at ``path`` and return it.

    Odd heights and widths lose their last row or column, because H.264's usual pixel format wants even ones.
    The file appears complete or not at all. Raises TouchlineError on other shapes or types, and when the
    encoder fails.
    """
    import numpy as np

    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise TouchlineError(
            f"A video is made of frames (T, H, W, 3) of uint8, and these are {frames.shape} of {frames.dtype}. "
            "Convert them, for example with (255 * frames).astype(numpy.uint8)."
        )
    import imageio_ffmpeg

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames.shape[1] // 2 * 2, frames.shape[2] // 2 * 2
    partial = path.with_name(f".{path.stem}.partial.mp4")
    try:
        writer = imageio_ffmpeg.write_frames(
            str(partial), (width, height), fps=fps, codec="libx264", macro_block_size=1, ffmpeg_log_level="error"
        )
        writer.send(None)
        try:
            for frame in frames[:, :height, :width]:
                writer.send(np.ascontiguousarray(frame))
        finally:
            writer.close()
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise TouchlineError(
            f"The video {path} could not be encoded ({error}). Check the disk's space; a larger frame than "
            f"{width}x{height} pixels may also be too much."
        ) from error
    return path
