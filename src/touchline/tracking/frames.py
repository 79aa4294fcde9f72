"""Frames as people have them, each turned into what an encoder takes only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from touchline.errors import TouchlineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHANNELS = (1, 3, 4)
_ACCEPTED = (
    "Give uint8, or floats from 0 to 1, with 1, 3 or 4 channels last or first: (T, H, W, 3) or (T, 3, H, W); "
    "for example (255 * frames).astype(numpy.uint8)."
)


class Episode:
    """The frames of one episode, behind one face: a length, a size, and RGB frames (H, W, 3) of uint8.

    ``frames`` is an array (T, H, W, C) or (T, C, H, W) of NumPy, torch or JAX, or a sequence of such frames; C is 1,
    3 or 4, and values are uint8 or floats from 0 to 1. It is kept by reference and read frame by frame. Raises
    TouchlineError on other shapes.
    """

    def __init__(self, frames: Any) -> None:
        shape = getattr(frames, "shape", None)
        if shape is None:
            frames = tuple(frames)
            shape = (len(frames), *getattr(frames[0], "shape", ())) if frames else (0,)
        self._frames = frames
        if len(shape) != 4 or 0 in shape or (shape[3] not in _CHANNELS and shape[1] not in _CHANNELS):
            raise TouchlineError(f"These are no frames of an episode: they have shape {_text(shape)}. {_ACCEPTED}")
        self.channels_last = shape[3] in _CHANNELS
        self.length = int(shape[0])
        self.height, self.width = (int(side) for side in (shape[1:3] if self.channels_last else shape[2:4]))

    def __len__(self) -> int:
        return self.length

    @property
    def nbytes(self) -> int:
        """Bytes that the frames take in memory as they are."""
        if isinstance(self._frames, tuple):
            return self.length * int(getattr(self._frames[0], "nbytes", 0))
        return int(getattr(self._frames, "nbytes", 0))

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[index] for index in range(self.length))

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """The frame at ``index`` as RGB. Raises TouchlineError when its size or its values are not as they should."""
        if index >= self.length:
            raise IndexError(index)
        if not isinstance(self._frames, tuple):
            self._frames = _on_host(self._frames)
        pixels = as_rgb(self._frames[index], self.channels_last)
        if pixels.shape[:2] != (self.height, self.width):
            raise TouchlineError(
                f"Frame {index} of an episode has {pixels.shape[1]}x{pixels.shape[0]} pixels, and its first one has "
                f"{self.width}x{self.height}. Film an episode in one size."
            )
        return pixels


def episodes_of(frames: Any) -> list[Episode]:
    """The episodes in what a person hands over: one of them, a sequence of several, or an array (N, T, …).

    Raises TouchlineError when it is neither.
    """
    if isinstance(frames, Episode):
        return [frames]
    if hasattr(frames, "shape"):
        return [Episode(part) for part in frames] if len(frames.shape) == 5 else [Episode(frames)]
    if isinstance(frames, Iterator):
        frames = list(frames)
    if not isinstance(frames, Sequence) or isinstance(frames, str | bytes) or not frames:
        raise TouchlineError(f"A video is made of frames, and this is {_short(frames)}. {_ACCEPTED}")
    first = frames[0]
    if isinstance(first, Episode) or len(getattr(first, "shape", "....")) == 4:
        return [part if isinstance(part, Episode) else Episode(part) for part in frames]
    return [Episode(frames)]


def as_rgb(frame: Any, channels_last: bool = True) -> NDArray[np.uint8]:
    """Convert one frame (H, W, C) or (C, H, W) to RGB (H, W, 3) of uint8; one that is so already stays as it is.

    Raises TouchlineError when its shape or its values are of another kind.
    """
    import numpy as np

    pixels = _on_host(frame)
    if pixels.ndim == 3 and not channels_last:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim != 3 or pixels.shape[2] not in _CHANNELS:
        raise TouchlineError(f"This is no frame: it has shape {_text(pixels.shape)}. {_ACCEPTED}")
    if pixels.dtype != np.uint8:
        pixels = as_uint8(pixels)
    if pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)
    return pixels[:, :, :3]


def as_uint8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    import numpy as np

    floating = np.issubdtype(pixels.dtype, np.floating)
    if not floating and not np.issubdtype(pixels.dtype, np.integer) and pixels.dtype != np.bool_:
        raise TouchlineError(f"A frame holds {pixels.dtype}, which is no picture. {_ACCEPTED}")
    lowest, highest = pixels.min(), pixels.max()
    if floating:
        # A little above 1 is rounding; 0 to 255 as floats would be a white picture.
        if not (lowest >= -0.01 and highest <= 1.01):
            raise TouchlineError(f"A frame of {pixels.dtype} holds values from {lowest} to {highest}. {_ACCEPTED}")
        pixels = np.rint(pixels.clip(0.0, 1.0) * 255)
    elif lowest < 0 or highest > 255:
        raise TouchlineError(f"A frame of {pixels.dtype} holds values from {lowest} to {highest}. {_ACCEPTED}")
    whole: NDArray[np.uint8] = pixels.astype(np.uint8)
    if pixels.dtype == np.bool_:
        whole *= np.uint8(255)
    return whole


def _on_host(values: Any) -> NDArray[Any]:
    import numpy as np

    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # NumPy has no bfloat16.
        values = (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values)


def _text(shape: Sequence[int]) -> str:
    return "(" + ", ".join(str(side) for side in shape) + ")"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"a {type(value).__name__}"
