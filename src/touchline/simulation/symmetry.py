"""A mirror image of a world: which numbers change places and which change sign."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from touchline.errors import UsageError


@dataclass(frozen=True)
class Reflection:
    """A vector's mirror image: number i of it is ``sign[i]`` times number ``source[i]`` of the vector."""

    source: tuple[int, ...]
    sign: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = np.arange(len(self.source))
        there_and_back = np.asarray(self.source)[list(self.source)] if sorted(self.source) == list(numbers) else None
        signs = np.asarray(self.sign, dtype=float)
        if len(signs) != len(numbers) or there_and_back is None or not np.array_equal(there_and_back, numbers):
            raise UsageError(
                f"This is no reflection: source {self.source}, sign {self.sign}. Twice mirrored, every number must "
                "be where it was."
            )
        if not np.array_equal(signs * signs[list(self.source)], np.ones(len(signs))):
            raise UsageError(f"This is no reflection: twice mirrored, the signs {self.sign} do not cancel.")

    def __call__(self, value: Any, xp: ModuleType = np) -> Any:
        """Return the mirror image, same shape (..., n)."""
        return value[..., xp.asarray(self.source)] * xp.asarray(self.sign, dtype=value.dtype)


@dataclass(frozen=True)
class Symmetry:
    """How observations and actions look in the mirror."""

    observed: Reflection
    acted: Reflection

    def observation(self, value: Any, xp: ModuleType = np) -> Any:
        """Return mirrored observations, shape (..., n)."""
        return self.observed(value, xp)

    def action(self, value: Any, xp: ModuleType = np) -> Any:
        """Return mirrored actions, shape (..., m)."""
        return self.acted(value, xp)
