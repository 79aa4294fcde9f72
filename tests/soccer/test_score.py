"""The competition's score, against episodes worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from touchline.errors import TouchlineError, UsageError
from touchline.soccer.score import WEIGHTS, official_score, outcome
from touchline.soccer.tasks import TASKS

NOTHING = {
    "goal_scored": 0.0,
    "ball_vel_twd_goal": 0.0,
    "robot_distance_ball": 0.0,
    "offside": 0.0,
    "robot_fallen": 0.0,
    "ball_blocked": 0.0,
    "ball_hits": 0.0,
}


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({}, -1.0),
        ({"goal_scored": 1.0, "ball_vel_twd_goal": 4.0, "robot_distance_ball": 1.5}, 7.875),
        ({"robot_fallen": 1.0, "robot_distance_ball": 0.2}, -2.45),
        ({"offside": 1.0, "ball_hits": 2.0}, -4.4),
        ({"ball_blocked": 1.0, "ball_vel_twd_goal": -2.0}, -4.5),
    ],
)
@pytest.mark.parametrize("task", ["goalie_penalty_kick", "obstacle_penalty_kick"])
def test_a_penalty_is_scored_by_hand(task: str, terms: dict[str, float], expected: float) -> None:
    assert official_score(task, {**NOTHING, **terms}) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"success": 0.0, "distance": 0.08, "offside": 0.0}, -0.26),
        ({"success": 1.0, "distance": 0.7, "offside": 0.0}, 2.05),
        ({"success": 0.0, "distance": 0.0, "offside": 1.0}, -1.3),
    ],
)
def test_a_kick_to_the_target_is_scored_by_hand(terms: dict[str, float], expected: float) -> None:
    assert official_score("kick_to_target", terms) == pytest.approx(expected)


def test_booleans_count_as_the_official_environment_gives_them() -> None:
    terms: dict[str, Any] = {**NOTHING, "goal_scored": True}
    assert official_score("goalie_penalty_kick", terms) == pytest.approx(1.5)


def test_terms_without_a_weight_do_not_count() -> None:
    assert official_score("obstacle_penalty_kick", {**NOTHING, "ball_distance_target": 9.0}) == -1.0


def test_the_number_of_steps_does_not_change_the_score() -> None:
    assert official_score("goalie_penalty_kick", {**NOTHING, "steps": 4_000.0}) == -1.0


def test_every_task_has_weights() -> None:
    assert set(WEIGHTS) == set(TASKS)


def test_a_missing_term_is_named() -> None:
    with pytest.raises(TouchlineError, match="distance"):
        official_score("kick_to_target", {"success": 1.0, "offside": 0.0})


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(UsageError, match="kick_to_target"):
        official_score("kick_to_targt", {})


@pytest.mark.parametrize(
    ("terms", "truncated", "words"),
    [
        ({"goal_scored": 1.0, "offside": 0.0}, False, "goal"),
        ({"success": 1.0}, False, "on target"),
        ({"robot_fallen": 1.0, "goal_scored": 0.0}, False, "fallen"),
        ({"robot_fallen": 0.0}, True, "time is up"),
        ({"success": 0.0, "offside": 0.0}, False, "fallen"),  # the target task has no term for it
    ],
)
def test_how_an_episode_ended(terms: dict[str, float], truncated: bool, words: str) -> None:
    assert outcome(terms, truncated=truncated) == words
