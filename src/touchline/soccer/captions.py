"""What is written on the frames of a film: in every tile the task, the time and the score."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WHITE, _GOLD, _OUTLINE = "white", "#ffd75e", "#141c22"
_SMALLEST, _LARGEST = 10, 28
"""Pixels of the letters, which follow the tile's height."""


@dataclass(frozen=True)
class Words:
    """What is to be said of one episode; see ``trajectory.Trajectory``."""

    title: str
    frames: int
    scores: Sequence[float] | None
    outcome: str


class Captions:
    """Writes on the frames of a grid of ``columns`` tiles of ``width`` x ``height`` pixels, filled row by row."""

    def __init__(
        self, episodes: Sequence[Words], columns: int, width: int, height: int, fps: float, caption: str = ""
    ) -> None:
        """``caption`` is said once for the whole picture: in the first empty cell, else in the last corner."""
        self._episodes, self._columns = episodes, columns
        self._width, self._height = width, height
        self._fps, self._caption = fps, caption
        self._size = round(np.clip(8 + height / 45, _SMALLEST, _LARGEST))
        self._margin = self._size // 2

    def write(self, frames: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        """Yield copies of the frames with the words of their moment."""
        from PIL import Image

        for index, frame in enumerate(frames):
            image = Image.fromarray(frame)
            for place, episode in enumerate(self._episodes):
                self._tile(image, self._corner(place), episode, index)
            self._whole(image)
            yield np.asarray(image)

    def _corner(self, place: int) -> tuple[int, int]:
        return place % self._columns * self._width, place // self._columns * self._height

    def _tile(self, image: Any, corner: tuple[int, int], episode: Words, index: int) -> None:
        left, top = corner[0] + self._margin, corner[1] + self._margin
        right, bottom = corner[0] + self._width - self._margin, corner[1] + self._height - self._margin
        last = min(index, episode.frames - 1)
        clock = _label(f"{last / self._fps:.1f} s", self._size)
        title = _fitting(episode.title, self._size, right - left - clock.width - self._margin)
        _paste(image, clock, right - clock.width, top)
        _paste(image, title, left, top)
        if episode.scores is None and not (episode.outcome and index >= episode.frames):
            return
        score = "" if episode.scores is None else _number(episode.scores[last])
        if not episode.outcome or index < episode.frames - 1:
            label = _label(f"score so far {score}", self._size)
            _paste(image, label, left, bottom - label.height)
            return
        lines = [_label(f"score {score}", 2 * self._size, _GOLD)] if score else []
        lines.append(_label(episode.outcome, round(1.2 * self._size), _GOLD))
        middle = corner[1] + (self._height - sum(line.height for line in lines)) // 2
        for line in lines:
            _paste(image, line, corner[0] + (self._width - line.width) // 2, middle)
            middle += line.height

    def _whole(self, image: Any) -> None:
        count = len(self._episodes)
        if count % self._columns:
            left, top = self._corner(count)
            label = _fitting(self._caption, round(1.3 * self._size), image.width - left - 2 * self._margin)
            place = left + (image.width - left - label.width) // 2, top + (self._height - label.height) // 2
        else:
            label = _fitting(self._caption, self._size, int(0.55 * self._width))
            place = image.width - label.width - self._margin, image.height - label.height - self._margin
        _paste(image, label, *place)


def _number(value: float) -> str:
    return f"{value:.2f}"  # the font has no minus sign but the hyphen


def _paste(image: Any, label: Any, left: int, top: int) -> None:
    image.paste(label, (left, top), label)


def _fitting(text: str, size: int, width: int) -> Any:
    """The label of ``text``, shortened to ``width`` pixels."""
    label, kept = _label(text, size), text
    while label.width > width and kept:
        kept = kept[:-1].rstrip()
        label = _label(f"{kept}…", size)
    return label


@functools.lru_cache(maxsize=1024)
def _label(text: str, size: int, color: str = _WHITE) -> Any:
    """The picture of a text, outlined so that it is legible on any ground; drawing it takes longer than pasting."""
    from PIL import Image, ImageDraw, ImageFont

    font, outline = ImageFont.load_default(size), max(1, round(size / 9))
    _, _, right, _ = font.getbbox(text or " ", stroke_width=outline)
    image = Image.new("RGBA", (max(1, int(right) + outline), round(1.35 * size) + 2 * outline))
    ImageDraw.Draw(image).text(
        (outline, outline), text, font=font, fill=color, stroke_width=outline, stroke_fill=_OUTLINE
    )
    return image
