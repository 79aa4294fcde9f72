"""The mirror image of the soccer world: left becomes right, and the pitch is the same.

The plane is the world's x-z plane through both goals. Goalkeepers patrol through it, so their mirror image is where
they are half a period later; the rest of the pitch is its own. Spins are axial vectors: their y keeps its sign and
the other two change it.
"""

from __future__ import annotations

from touchline.simulation.symmetry import Reflection, Symmetry
from touchline.soccer.layout import FIELDS

_LEG = (1.0, -1.0, -1.0, 1.0, 1.0, -1.0)
"""Hip pitch, roll, yaw, knee pitch, ankle pitch, roll: what turns about y keeps its sign."""
_ARROW, _SPIN = (1.0, -1.0, 1.0), (-1.0, 1.0, -1.0)
_JOINTS, _SPINS = ("joint_position", "joint_velocity"), ("gyro", "ball_velr_rel_robot")
_NOT_IN_SPACE = ("player_team", "task_index")


def symmetry() -> Symmetry:
    """Return how observations (89 numbers) and actions (12) look in the mirror."""
    source: list[int] = []
    sign: list[float] = []
    for field in FIELDS:
        first = len(source)
        if field.name in _JOINTS:
            source += [first + (i + 6) % 12 for i in range(12)]
            sign += _LEG * 2
            continue
        source += range(first, first + field.size)
        if field.name in _NOT_IN_SPACE:
            sign += [1.0] * field.size
        else:
            sign += (_SPIN if field.name in _SPINS else _ARROW) * (field.size // 3)
    return Symmetry(
        observed=Reflection(tuple(source), tuple(sign)),
        acted=Reflection(tuple((i + 6) % 12 for i in range(12)), _LEG * 2),
    )
