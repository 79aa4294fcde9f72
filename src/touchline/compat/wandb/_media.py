"""Image, Video, Html and what else of a ``wandb.log`` becomes a file; each knows how a run records it."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.compat.pictures import pixels, to_array, to_uint8
from touchline.compat.told import tell
from touchline.errors import TouchlineError, UsageError
from touchline.tracking.events import slug
from touchline.tracking.run import Run

if TYPE_CHECKING:
    import numpy as np

VIDEO_FORMATS = ("gif", "mp4", "webm", "ogg")
FRAMES_PER_SECOND = 4
_CHANNELS = (1, 3, 4)


class Media:
    """A value of ``wandb.log`` that is no number."""

    def record(self, run: Run, name: str, step: int) -> None:
        """Record it under ``name`` at ``step``. Raises TouchlineError when it cannot be kept."""
        raise NotImplementedError


class Image(Media):
    """A picture: a path, an array (H, W) or (H, W, C), a torch tensor (C, H, W), a Pillow image or a figure.

    Floats within 0..1 are stretched to 0..255, which the SDK does not do. Recorded as PNG, or as the file it is.
    """

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: Any = None,
        boxes: Any = None,
        masks: Any = None,
        file_type: str | None = None,
    ) -> None:
        """Raises UsageError on an array of another shape."""
        self.caption: str | None = caption
        self._image: Path | np.ndarray
        if isinstance(data_or_path, Image):
            self._image, self.caption = data_or_path._image, caption or data_or_path.caption
            return
        if boxes or masks or classes:
            tell("overlays", "wandb.Image: boxes, masks and classes are not recorded; draw them into the picture.")
        is_path = isinstance(data_or_path, str | Path)
        self._image = Path(data_or_path) if is_path else pixels(_in_mode(data_or_path, mode))

    def record(self, run: Run, name: str, step: int) -> None:
        """Record it as an image."""
        run.log_image(self._image, name, step=step, caption=self.caption)


class Video(Media):
    """A video: a path or bytes of a gif, mp4, webm or ogg, or frames (T, C, H, W) or (N, T, C, H, W) of uint8.

    Frames become an H.264 mp4, whatever ``format`` says; several videos (N) are tiled into one.
    """

    def __init__(
        self, data_or_path: Any, caption: str | None = None, fps: int | None = None, format: str | None = None
    ) -> None:
        """``fps`` is frames a second, 4 by default. Raises UsageError on frames of another shape."""
        self.caption = caption
        self._fps = fps or FRAMES_PER_SECOND
        self._format = format or "mp4"
        self._source: Path | bytes | np.ndarray
        if isinstance(data_or_path, str | Path):
            self._format = Path(data_or_path).suffix.lstrip(".").lower()
            self._source = Path(data_or_path)
        elif isinstance(data_or_path, io.BytesIO):
            self._source = data_or_path.getvalue()
        else:
            self._source = frames(data_or_path)
        if self._format not in VIDEO_FORMATS:
            raise UsageError(f"A video is one of {', '.join(VIDEO_FORMATS)}, and this is {self._format!r}.")

    def record(self, run: Run, name: str, step: int) -> None:
        """Record it as a video."""
        if isinstance(self._source, Path):
            run.log_video(self._source, name, step=step, caption=self.caption)
            return
        if not isinstance(self._source, bytes):
            run.log_video(self._source, name, step=step, caption=self.caption, fps=self._fps)
            return
        with tempfile.TemporaryDirectory(prefix="touchline-") as folder:
            path = Path(folder) / f"{slug(name)}.{self._format}"
            path.write_bytes(self._source)
            run.log_video(path, name, step=step, caption=self.caption)


def frames(video: Any) -> np.ndarray:
    """Frames (T, H, W, 3) of uint8 from (T, C, H, W) or (N, T, C, H, W). Raises UsageError on another shape."""
    import numpy as np

    array = to_array(video)
    if array.ndim == 4:
        array = array[np.newaxis]
    if array.ndim == 5 and array.shape[2] not in _CHANNELS and array.shape[4] in _CHANNELS:
        tell(
            "channels",
            f"wandb.Video: these frames have shape {np.shape(video)}, and W&B wants (frames, channels, height, "
            "width). They are taken as (frames, height, width, channels).",
        )
        array = array.transpose(0, 1, 4, 2, 3)
    if array.ndim != 5 or array.shape[2] not in _CHANNELS or not array.size:
        raise UsageError(
            f"A video is made of frames (T, C, H, W) or (N, T, C, H, W), and these have shape {np.shape(video)}. "
            "Bring their axes into that order, for example with frames.transpose(0, 3, 1, 2)."
        )
    channels = array.shape[2]
    array = np.repeat(array, 3, axis=2) if channels == 1 else array[:, :, :3]
    return to_uint8(_tiled(array))


def _tiled(videos: np.ndarray) -> np.ndarray:
    """Lay (N, T, C, H, W) out as one video (T, rows * H, columns * W, C), about square; empty places are black."""
    import numpy as np

    count, length, channels, height, width = videos.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    empty = np.zeros((rows * columns - count, *videos.shape[1:]), videos.dtype)
    grid = np.concatenate([videos, empty]).reshape(rows, columns, length, channels, height, width)
    return grid.transpose(2, 0, 4, 1, 5, 3).reshape(length, rows * height, columns * width, channels)


class Html(Media):
    """A page: its text, a path that ends in ``.html``, or an open file. Recorded as a file of the run."""

    def __init__(self, data: Any, inject: bool = True, data_is_not_path: bool = False) -> None:
        """``inject`` has no effect: the page is kept as it is. Raises TouchlineError when a path is not there."""
        if hasattr(data, "read"):
            self.html = str(data.read())
        elif not data_is_not_path and (isinstance(data, Path) or str(data).endswith(".html")):
            try:
                self.html = Path(data).read_text(encoding="utf-8")
            except OSError as error:
                raise TouchlineError(f"The page {data} cannot be read ({error.strerror}). Check the path.") from error
        else:
            self.html = str(data)

    def record(self, run: Run, name: str, step: int) -> None:
        """Record it as ``html/<name>-<step>.html``."""
        with tempfile.TemporaryDirectory(prefix="touchline-") as folder:
            path = Path(folder) / "page.html"
            path.write_text(self.html, encoding="utf-8")
            run.log_artifact(path, f"html/{slug(name)}-{step}.html")


class Unrecorded(Media):
    """Stands for something that W&B draws and Touchline does not; told once, and nothing is recorded."""

    def __init__(self, kind: str) -> None:
        tell(
            f"media {kind}",
            f"wandb.{kind} is not recorded. Log its numbers with wandb.log, its picture with wandb.Image, or its "
            "file with wandb.log_artifact.",
        )

    def record(self, run: Run, name: str, step: int) -> None:
        """Record nothing."""


def _in_mode(image: Any, mode: str | None) -> Any:
    if mode is None or not (hasattr(image, "convert") and hasattr(image, "mode")):
        return image
    return image.convert(mode)
