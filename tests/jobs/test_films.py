"""What of an episode is shown, which one is the worst, and what has not ended has no score."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.jobs.films import TRANSITION_SECONDS, _outcome, _sampled, beginning_of, worst_of
from touchline.soccer.trajectory import Trajectory

MODEL = SimpleNamespace(nq=3)


def episode(frames: int, score: float, outcome: str = "fallen") -> Trajectory:
    return Trajectory(MODEL, np.zeros((frames, 3)), "", np.full(frames, score), outcome, {"body_pos": np.zeros(3)})


@given(count=st.integers(1, 501), fps=st.floats(1.0, 50.0))
def test_frames_are_shown_in_time_and_the_last_state_always(count: int, fps: float) -> None:
    shown = _sampled(count, fps)
    assert shown[-1] == count - 1
    assert (np.diff(shown) > 0).all()
    wanted = np.arange(len(shown) - 1) / fps
    assert np.abs(shown[:-1] * TRANSITION_SECONDS - wanted).max(initial=0.0) <= TRANSITION_SECONDS / 2 + 1e-9


def test_the_worst_has_the_lowest_score_and_of_equals_the_shortest_life() -> None:
    assert worst_of([episode(9, -0.99), episode(5, -2.47), episode(3, -2.47), episode(3, -2.47)]) == 2


def test_a_film_that_is_cut_off_tells_no_final_score() -> None:
    whole = episode(10, -0.99)
    assert whole.score == -0.99
    cut = beginning_of(whole, 4)
    assert len(cut) == 4 and cut.score is None and cut.outcome == ""
    assert beginning_of(whole, 10) is whole


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
    assert _outcome(terms, truncated=truncated) == words
