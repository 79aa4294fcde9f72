"""Several episodes side by side in one picture: those that have ended stay, dimmed, until the last one has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from touchline.errors import TouchlineError
from touchline.tracking.frames import episodes_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIM = 0.35
"""Brightness of an episode that has ended."""


class Frames(Protocol):
    """The frames of one episode, in memory as those of ``frames.Episode`` or made when they are asked for."""

    height: int
    width: int

    @property
    def nbytes(self) -> int:
        """Bytes that the frames take in memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        """The frame at ``index`` as RGB (H, W, 3); a grid asks for each once, in turn."""


class Grid:
    """A video of tiled episodes that is made frame by frame: only one frame of it is in memory at a time.

    Iterating yields frames (H', W', 3) of uint8, as often as wanted; ``numpy.asarray(grid)`` is the whole of it,
    (T, H', W', 3). The last picture, every episode in it dimmed, stays for ``hold`` more frames.
    """

    def __init__(self, episodes: Sequence[Frames], columns: int, dim: float, hold: int = 0) -> None:
        self.episodes = tuple(episodes)
        self.columns, self.dim, self.hold = columns, dim, hold
        self._cell = max(part.height for part in episodes), max(part.width for part in episodes)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, H', W', 3): T frames are as many as the longest episode has, and those that the end is held."""
        rows = math.ceil(len(self.episodes) / self.columns)
        return max(map(len, self.episodes)) + self.hold, rows * self._cell[0], self.columns * self._cell[1], 3

    @property
    def nbytes(self) -> int:
        """Bytes that the episodes take in memory."""
        return sum(part.nbytes for part in self.episodes)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        import numpy as np

        frames, *size = self.shape
        canvas = np.zeros(size, np.uint8)
        for index in range(frames):
            for place, part in enumerate(self.episodes):
                if index < len(part):
                    self._view(canvas, place)[:] = part[index]
                elif index == len(part):
                    view = self._view(canvas, place)
                    view[:] = view * np.float32(self.dim)
            yield canvas.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        import numpy as np

        whole = np.empty(self.shape, np.uint8)
        for index, frame in enumerate(self):
            whole[index] = frame
        return whole if dtype is None else whole.astype(dtype)

    def _view(self, canvas: NDArray[np.uint8], place: int) -> NDArray[np.uint8]:
        """The part of the canvas that an episode fills; a smaller one is in the middle of its cell."""
        part, (height, width) = self.episodes[place], self._cell
        top = place // self.columns * height + (height - part.height) // 2
        left = place % self.columns * width + (width - part.width) // 2
        return canvas[top : top + part.height, left : left + part.width]


def tile(episodes: Any, columns: int | None = None, dim: float = DIM) -> Grid:
    """Tile several episodes into one video; the grid is filled row by row, and an empty cell is black.

    Each of ``episodes`` is an array (T, H, W, C) or (T, C, H, W) of NumPy, torch or JAX, or a list of frames, in
    uint8 or in floats from 0 to 1; C is 1, 3 or 4. Lengths and sizes may differ: an episode that has ended keeps its
    last frame at ``dim`` times its brightness. ``columns`` None makes the grid as square as it can be. The episodes
    are kept by reference. Raises TouchlineError on other shapes or values.
    """
    parts = episodes_of(episodes)
    if columns is None:
        columns = math.ceil(math.sqrt(len(parts)))
    if columns < 1:
        raise TouchlineError(f"A grid has {columns} columns. Give at least 1, or None for a square grid.")
    if not 0.0 <= dim <= 1.0:
        raise TouchlineError(f"An ended episode is dimmed to {dim} of its brightness. Give a number from 0 to 1.")
    return Grid(parts, min(columns, len(parts)), dim)
