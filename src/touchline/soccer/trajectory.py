"""An episode as it can be filmed: positions, what its reset has moved in the model, and how it was scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.errors import TouchlineError

MOVED = ("body_pos", "geom_pos", "geom_rgba", "site_pos", "site_rgba")
"""Arrays of a model that a reset may change: where targets and defenders are, and their colours."""
FPS = 25.0
"""Frames a second of a trajectory: every other policy transition of 20 ms."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One episode. Raises TouchlineError when the arrays do not fit the model or each other."""

    model: Any
    """The ``MjModel``; only its shapes and names are read, since a later reset may move what is in it."""
    qpos: NDArray[np.float64]
    """Generalised positions, shape (T, nq), one row a frame."""
    title: str = ""
    """What is played, such as "goalie penalty kick"."""
    scores: NDArray[np.float64] | None = None
    """The competition's score if the episode had ended at that frame, shape (T,); None where nothing is scored."""
    outcome: str = ""
    """How the episode ended, such as "fallen"; empty when it had not ended at the last frame."""
    moved: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """The arrays ``MOVED`` of the model during the episode; taken from ``model`` when they are left out."""

    def __post_init__(self) -> None:
        qpos = np.asarray(self.qpos, dtype=np.float64)
        if qpos.ndim != 2 or len(qpos) == 0 or qpos.shape[1] != self.model.nq:
            raise TouchlineError(
                f"A trajectory of this model has shape (frames, {self.model.nq}), and this one has {qpos.shape}; "
                "stack one copy of data.qpos a frame."
            )
        if self.scores is not None and np.shape(self.scores) != (len(qpos),):
            raise TouchlineError(
                f"A trajectory of {len(qpos)} frames has as many scores, and these have the shape "
                f"{np.shape(self.scores)}; give one a frame, or None."
            )
        object.__setattr__(self, "qpos", qpos)
        if not self.moved:
            object.__setattr__(self, "moved", {name: np.array(getattr(self.model, name)) for name in MOVED})

    def __len__(self) -> int:
        return len(self.qpos)

    @property
    def score(self) -> float | None:
        """The competition's score; None when nothing is scored or the episode had not ended."""
        return float(self.scores[-1]) if self.scores is not None and self.outcome else None
