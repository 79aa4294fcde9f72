"""The three tasks of the official soccer environments: names, field and start positions, as data."""

from __future__ import annotations

from dataclasses import dataclass

from touchline.errors import unknown


@dataclass(frozen=True)
class Task:
    """One task of the competition."""

    name: str
    """Name used throughout Touchline."""
    official_id: str
    """Gymnasium id that ``sai-mujoco`` registers."""


TASK_TABLE: tuple[Task, ...] = (
    Task("goalie_penalty_kick", "LowerT1GoaliePenaltyKick-v0"),
    Task("obstacle_penalty_kick", "LowerT1ObstaclePenaltyKick-v0"),
    Task("kick_to_target", "LowerT1KickToTarget-v0"),
)
TASKS: tuple[str, ...] = tuple(task.name for task in TASK_TABLE)
"""Task names in the order of the one-hot ``task_index`` of the observation."""
ALL = "all"
"""What people write for every task."""


def task_named(name: str) -> Task:
    """Return the task called ``name``; raises UsageError with the nearest name when there is none."""
    for task in TASK_TABLE:
        if task.name == name:
            return task
    raise unknown("task", name, TASKS)


def tasks_meant(word: str, tasks: tuple[str, ...] = TASKS) -> tuple[str, ...]:
    """Return those of ``tasks`` that a person means: a name, the unique beginning of one, or ``all``.

    Raises UsageError, with the nearest short name, when that is no task or more than one.
    """
    if word == ALL:
        return tasks
    matches = tuple(name for name in tasks if name.startswith(word.casefold().replace("-", "_")))
    if len(matches) != 1:
        raise unknown("task", word, (ALL, *(name.partition("_")[0] for name in tasks)))
    return matches


WALKING_SPEEDS = (0.4, 0.2, 0.4)
"""How fast to walk to the ball, m/s, by task. The score is of the last moment: where defenders guard the goal, a
ball that still rolls towards it when the time is up is worth more than one that is blocked or goes out."""
FIELD_LENGTH = 10.97
"""Half the field's length along x, in metres (the official ``config.yaml``)."""
FIELD_WIDTH = 6.87
"""Half the field's width along y, in metres."""
GOAL_WIDTH = 1.6
"""Half the goal's width, in metres."""
GOAL_HEIGHT = 1.9
"""Height of the goal, in metres."""
GOAL_SOUTH = (-FIELD_LENGTH, 0.0, 0.0)
"""Site of the goal that team 0 attacks, world frame, metres."""
GOAL_NORTH = (FIELD_LENGTH, 0.0, 0.0)
PENALTY_SPOT_X = -8.77
"""Where the ball lies in both penalty tasks, metres."""
PENALTY_RUN_UP = 2.0
"""Distance between robot and ball at the start of a penalty, metres."""
SPAWN_HEIGHT = 0.70
"""Height of the robot's free joint at reset, metres."""
GOALKEEPER_AMPLITUDE = GOAL_WIDTH - 0.6
"""The goalkeeper patrols ``amplitude * sin(2 pi f t)`` along y, metres."""
GOALKEEPER_FREQUENCY = 0.3
"""Hz."""
FALL_HEIGHT = 0.4
"""The episode ends when the robot's imu site is at or below this height, metres."""
PHYSICS_TIMESTEP = 0.002
"""Seconds a physics step; the official environments take one action per physics step."""
EPISODE_PHYSICS_STEPS = 5_000
"""Time limit of the official environments, in physics steps."""
