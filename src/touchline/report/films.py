"""Videos in the page: the newest as data in it while there is room, the others named with their path."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from touchline.report.facts import Film

TYPES = {".mp4": "video/mp4", ".webm": "video/webm", ".gif": "image/gif"}
MOST_SHOWN = 12


@dataclass(frozen=True)
class Shown:
    """A video with its bytes in the page."""

    film: Film
    kind: str
    """Media type, as ``video/mp4``."""
    data: str
    """The file's bytes, base64."""

    @property
    def is_picture(self) -> bool:
        """Whether a browser shows it as a picture that moves, not as a video."""
        return self.kind.startswith("image/")


@dataclass(frozen=True)
class Films:
    """The videos of a report, the newest first."""

    shown: tuple[Shown, ...] = ()
    named: tuple[Film, ...] = ()
    """Those for which there was no room, or whose file is gone."""


def embed(films: Iterable[Film], room: int) -> Films:
    """Take the newest films into the page as long as they fit into ``room`` bytes of it."""
    shown: list[Shown] = []
    named: list[Film] = []
    for film in sorted(films, key=lambda film: film.time, reverse=True):
        kind = TYPES.get(film.path.suffix.lower())
        size = film.path.stat().st_size * 4 // 3 + 100 if kind and film.path.is_file() else 0
        if kind is None or not size or size > room or len(shown) == MOST_SHOWN:
            named.append(film)
            continue
        room -= size
        shown.append(Shown(film, kind, base64.b64encode(film.path.read_bytes()).decode()))
    return Films(tuple(shown), tuple(named))
