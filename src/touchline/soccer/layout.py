"""The observation's layout: one row a field, the single source for every backend and for ``docs/observation.md``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Field:
    """Some neighbouring values of the observation."""

    name: str
    size: int
    """How many values."""
    unit: str
    frame: Literal["joint", "body", "world", "–"]
    """joint: along the joint's axis; body: axes of the imu in the trunk; world: axes of the pitch."""
    official: str
    """Name in the official info; ``observation[a:b]`` where it is taken from the official observation."""
    meaning: str
    """What it is, quirks included, as one Markdown cell."""


_MISSING_KEEPER = "0 in the tasks without goalkeepers"

FIELDS: tuple[Field, ...] = (
    Field(
        "joint_position", 12, "rad", "joint", "observation[0:12]",
        "Left leg, then right: hip pitch, hip roll, hip yaw, knee pitch, ankle pitch, ankle roll. After the step.",
    ),
    Field("joint_velocity", 12, "rad/s", "joint", "observation[12:24]", "In the same order. After the step."),
    Field(
        "projected_gravity", 3, "1", "body", "robot_quat",
        "Unit vector of gravity; (0, 0, −1) upright. Turned by the orientation before the step. The official "
        "quaternion is x, y, z, w, MuJoCo's is w, x, y, z.",
    ),
    Field("gyro", 3, "rad/s", "body", "robot_gyro", "Angular velocity, before the step."),
    Field(
        "accelerometer", 3, "m/s²", "body", "robot_accelerometer",
        "Proper acceleration during the step: (0, 0, 9.81) at rest. Contact forces are in it, so two contact models "
        "differ here.",
    ),
    Field("velocimeter", 3, "m/s", "body", "robot_velocimeter", "Linear velocity, before the step."),
    Field(
        "goal_team_0_rel_robot", 3, "m", "world", "goal_team_0_rel_robot",
        "From the imu to the middle of the south goal's line, which team 0 attacks: (−10.97, 0, 0) minus the imu's "
        "position before the step.",
    ),
    Field(
        "goal_team_1_rel_robot", 3, "m", "world", "goal_team_1_rel_robot",
        "The same to the north goal, (10.97, 0, 0). Named after the official fields, not after who owns the goal.",
    ),
    Field("goal_team_0_rel_ball", 3, "m", "world", "goal_team_0_rel_ball", "From the ball's site to the south goal."),
    Field("goal_team_1_rel_ball", 3, "m", "world", "goal_team_1_rel_ball", "From the ball's site to the north goal."),
    Field(
        "ball_xpos_rel_robot", 3, "m", "world", "ball_xpos_rel_robot",
        "From the imu to the ball's site, before the step. The site is not the sphere's centre: it sits on its "
        "surface, 0.11 m away, at the bottom after a reset, and goes round with the ball.",
    ),
    Field(
        "ball_velp_rel_robot", 3, "m/s", "world", "ball_velp_rel_robot",
        "Velocity of the ball's site minus that of the imu, after the step. A rolling ball's site stands still each "
        "time that it touches the ground.",
    ),
    Field(
        "ball_velr_rel_robot", 3, "rad/s", "world", "ball_velr_rel_robot",
        "Angular velocity of the ball minus that of the imu, after the step.",
    ),
    Field("player_team", 2, "1", "–", "player_team", "One-hot of the robot's team: always (1, 0) in these tasks."),
    Field(
        "goalkeeper_team_0_xpos_rel_robot", 3, "m", "world", "goalkeeper_team_0_xpos_rel_robot",
        "From the imu to the south goalkeeper, (−10.97, sin(0.6 π t), 0.2), with t before the step; "
        f"{_MISSING_KEEPER}.",
    ),
    Field(
        "goalkeeper_team_0_velp_rel_robot", 3, "m/s", "world", "goalkeeper_team_0_velp_rel_robot",
        "Its velocity, 0.6 π cos(0.6 π t) along y with t before the step and 0 right after a reset, minus that of "
        f"the imu after the step; {_MISSING_KEEPER}.",
    ),
    Field(
        "goalkeeper_team_1_xpos_rel_robot", 3, "m", "world", "goalkeeper_team_1_xpos_rel_robot",
        f"The same to the north goalkeeper, at x = 10.97, who moves alike; {_MISSING_KEEPER}.",
    ),
    Field(
        "goalkeeper_team_1_velp_rel_robot", 3, "m/s", "world", "goalkeeper_team_1_velp_rel_robot",
        f"The north goalkeeper's; {_MISSING_KEEPER}.",
    ),
    Field(
        "target_xpos_rel_robot", 3, "m", "world", "target_xpos_rel_robot",
        "From the imu to the target: the free part of the goal in the obstacle task, the mark on the ground in the "
        "kick to a target. 0 in the goalie task, which has none.",
    ),
    Field(
        "target_velp_rel_robot", 3, "m/s", "world", "target_velp_rel_robot",
        "Minus the velocity of the imu after the step, as targets stand still. 0 in the goalie task.",
    ),
    Field(
        "defender_xpos", 9, "m", "world", "defender_xpos",
        "Positions of the three defenders one after the other, absolute, not relative to the robot. Without "
        "defenders, three times the imu's position before the step.",
    ),
    Field(
        "task_index", 3, "1", "–", "task_index",
        "One-hot of the task: goalie penalty kick, obstacle penalty kick, kick to target. The competition adds it: "
        "the bare environments do not have it, and a competition with one task has one value here.",
    ),
)  # fmt: skip
"""All fields in the order of the observation vector."""


def _layout() -> dict[str, slice]:
    slices, start = {}, 0
    for field in FIELDS:
        slices[field.name] = slice(start, start + field.size)
        start += field.size
    return slices


LAYOUT: Mapping[str, slice] = _layout()
"""Where each field lies in the observation vector."""
OBSERVATION_SIZE = sum(field.size for field in FIELDS)
"""89: 86 official values and the one-hot of three tasks."""


def markdown_table() -> str:
    """Return the table of ``docs/observation.md``; a test keeps the two equal."""
    lines = ["| index | field | unit | frame | in the official info | meaning |", "|---|---|---|---|---|---|"]
    for field in FIELDS:
        part = LAYOUT[field.name]
        lines.append(
            f"| {part.start}:{part.stop} | `{field.name}` | {field.unit} | {field.frame} | `{field.official}` "
            f"| {field.meaning} |"
        )
    return "\n".join(lines) + "\n"
