"""What of an episode is shown, which one is the worst, and what has not ended has no score."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from touchline.jobs.films import _sampled, beginning_of, worst_of
from touchline.soccer.trajectory import Trajectory

MODEL = SimpleNamespace(nq=3)
TRANSITION_SECONDS = 0.02


def episode(frames: int, score: float, outcome: str = "fallen") -> Trajectory:
    return Trajectory(MODEL, np.zeros((frames, 3)), "", np.full(frames, score), outcome, {"body_pos": np.zeros(3)})


@given(count=st.integers(1, 501), fps=st.floats(1.0, 50.0))
def test_frames_are_shown_in_time_and_the_last_state_always(count: int, fps: float) -> None:
    shown = _sampled(count, fps, TRANSITION_SECONDS)
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
