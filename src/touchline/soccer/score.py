"""The competition's score of an episode: a weighted sum of the reward terms of its last physics step.

Not to be mixed up with the dense reward, which is the official environment's own and is paid every step.
"""

from __future__ import annotations

from collections.abc import Mapping

from touchline.errors import TouchlineError
from touchline.soccer.tasks import task_named

_PENALTY_KICK = {
    "goal_scored": 2.5,
    "ball_vel_twd_goal": 1.5,
    "robot_distance_ball": 0.25,
    "offside": -3.0,
    "robot_fallen": -1.5,
    "ball_blocked": -0.5,
    "ball_hits": -0.2,
    "steps": -1.0,
}
_TARGET = {"success": 2.0, "distance": 0.5, "offside": -1.0, "steps": -0.3}

WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "goalie_penalty_kick": _PENALTY_KICK,
    "obstacle_penalty_kick": _PENALTY_KICK,
    "kick_to_target": _TARGET,
}
"""Weight of each reward term, by task (the competition's evaluation configuration)."""

CONSTANT_TERMS: Mapping[str, float] = {"steps": 1.0}
"""Terms that are no reward term: ``steps`` is the constant 1, however long the episode was."""


def official_score(task: str, terms: Mapping[str, float]) -> float:
    """Return the competition's score of an episode that ended with the reward terms ``terms``, see ``score_terms``.

    Raises what that does.
    """
    return float(sum(score_terms(task, terms).values()))


def score_terms(task: str, terms: Mapping[str, float]) -> dict[str, float]:
    """Return what each weighted term adds to the competition's score of an episode that ended with ``terms``.

    ``terms`` are the official ``info["reward_terms"]`` of the last physics step; terms without a weight do
    not count. Raises UsageError for an unknown task, TouchlineError when a weighted term is missing.
    """
    weights = WEIGHTS[task_named(task).name]
    values = {**terms, **CONSTANT_TERMS}
    missing = sorted(weights.keys() - values.keys())
    if missing:
        raise TouchlineError(
            f"The score of {task} needs the reward terms {', '.join(missing)}, which the episode's last step "
            f"lacks (it has {', '.join(sorted(terms)) or 'none'}); pass the official reward_terms unchanged."
        )
    return {name: weight * float(values[name]) for name, weight in weights.items()}


OUTCOMES: Mapping[str, str] = {
    "goal_scored": "goal",
    "success": "on target",
    "ball_blocked": "blocked",
    "offside": "out of the field",
    "robot_fallen": "fallen",
}
"""What ended an episode, by the reward term that tells."""


def outcome(terms: Mapping[str, float], *, truncated: bool) -> str:
    """Say in words what ended an episode with the reward terms ``terms`` of its last physics step."""
    told = next((words for name, words in OUTCOMES.items() if terms.get(name)), "")
    return told or ("time is up" if truncated else "fallen")
