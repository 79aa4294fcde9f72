"""The dense reward's terms pay for what they say."""

import numpy as np
import pytest

from touchline.simulation.world import Moves, Physics
from touchline.soccer.episode import Episode
from touchline.soccer.rewards import reward_terms
from touchline.soccer.scene import STANDING_FOOT_HEIGHT
from touchline.soccer.world import SoccerWorld

GOALIE, OBSTACLE, KICK = np.eye(3)


@pytest.fixture(scope="module")
def index():
    return SoccerWorld().index


def terms(index, task=GOALIE, target=(0.0,) * 3, ball=(-2.0, 0.0, 0.0), ball_velocity=(0.0,) * 3, **sensors):
    """The terms of one upright robot at the origin; sensors by name."""
    readings = {
        "position": (0.0, 0.0, 0.6),
        "upvector": (0.0, 0.0, 1.0),
        "forwardvector": (-1.0, 0.0, 0.0),
        "ball_position": ball,
        "left_foot_position": (0.0, 0.1, STANDING_FOOT_HEIGHT),
        "right_foot_position": (0.0, -0.1, STANDING_FOOT_HEIGHT),
    } | sensors
    read = np.zeros((1, max(part.stop for part in index.sensors.values())))
    for name, value in readings.items():
        read[0, index.sensors[name]] = value
    qvel = np.zeros((1, index.ball_velocity.stop))
    qvel[0, index.ball_velocity][:3] = ball_velocity
    episode = Episode(task[None], np.array([target]), np.zeros((1, 9)), np.zeros((1, 2)), *np.zeros((2, 1), bool))
    moves = Moves(np.zeros((1, 12)), np.zeros((1, 12)), np.zeros(1))
    found = reward_terms(Physics(np.zeros((1, 1)), qvel, read, np.zeros(1)), episode, moves, index)
    return {name: float(value[0]) for name, value in found.items()}


def test_progress_is_the_velocity_towards_the_ball_up_to_a_walk(index):
    assert terms(index, global_linvel=(-0.3, 5.0, 0.0))["progress"] == pytest.approx(0.3, abs=1e-4)
    assert terms(index, global_linvel=(0.3, 0.0, 0.0))["progress"] == pytest.approx(-0.3, abs=1e-4)
    assert terms(index, global_linvel=(-0.5, 0.0, 0.0))["progress"] == pytest.approx(0.3, abs=1e-4)
    assert terms(index, OBSTACLE, global_linvel=(-0.3, 0.0, 0.0))["progress"] == pytest.approx(0.1, abs=1e-4)
    assert terms(index, global_linvel=(-9.0, 0.0, 0.0))["progress"] == pytest.approx(-0.4, abs=1e-4)


def test_a_stride_is_paid_in_the_air_and_a_slip_costs_on_the_ground(index):
    moving = {"left_foot_velocity": (-0.4, 0.0, 0.0)}
    sliding = terms(index, **moving)
    stepping = terms(index, left_foot_position=(0.0, 0.1, STANDING_FOOT_HEIGHT + 0.1), **moving)
    assert (sliding["stride"], sliding["slip"]) == pytest.approx((0.0, 0.08))
    assert (stepping["stride"], stepping["slip"]) == pytest.approx((0.2, 0.0))


def test_facing_is_one_towards_the_ball_and_minus_one_away_from_it(index):
    assert terms(index)["facing"] == pytest.approx(1.0, abs=1e-4)
    assert terms(index, forwardvector=(1.0, 0.0, 0.0))["facing"] == pytest.approx(-1.0, abs=1e-4)


def test_a_kick_is_paid_towards_the_goal_or_the_target_of_the_task(index):
    to_goal, to_target = (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    assert terms(index, GOALIE, ball_velocity=to_goal)["kick"] == pytest.approx(1.0, abs=1e-4)
    assert terms(index, KICK, target=(-2.0, 3.0, 0.0), ball_velocity=to_target)["kick"] == pytest.approx(1, abs=1e-4)
    assert terms(index, KICK, target=(-2.0, 3.0, 0.0), ball_velocity=to_goal)["kick"] == pytest.approx(0, abs=1e-4)
    assert terms(index, OBSTACLE, target=(-9.0, 0.0, 0.6), ball_velocity=to_goal)["kick"] == 0.0


@pytest.mark.parametrize(
    ("task", "ball", "result"),
    [
        (GOALIE, (-11.2, 0.5, 0.1), 1.0),
        (GOALIE, (-11.2, 1.7, 0.1), -1.0),
        (OBSTACLE, (-11.2, 0.5, 0.1), -1.0),
        (KICK, (3.2, 1.0, 0.1), 1.0),
        (KICK, (2.0, 1.0, 0.1), 0.0),
        (KICK, (2.0, 7.0, 0.1), -1.0),
    ],
)
def test_the_result_is_what_the_referee_would_say_of_the_ball(index, task, ball, result):
    assert terms(index, task, target=(3.0, 1.0, 0.0), ball=ball)["result"] == result
