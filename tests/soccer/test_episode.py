"""Episodes are drawn as the official environments draw them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from touchline.soccer import tasks as t
from touchline.soccer.episode import UNIFORMS, sample


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2]))
def test_everything_lies_inside_the_field(seed, task):
    uniform = np.random.default_rng(seed).random((64, UNIFORMS))
    episode, start = sample(uniform, np.full(64, task), joint_noise=0.1, velocity_noise=0.1)
    assert (np.abs(start.root[:, 0]) <= t.FIELD_LENGTH).all() and (np.abs(start.root[:, 1]) <= t.FIELD_WIDTH).all()
    assert (np.abs(episode.target[:, 1]) <= t.FIELD_WIDTH).all()
    assert (np.abs(start.joints) <= 0.1).all()
    distance = np.linalg.norm(start.ball[:, :2] - start.root[:, :2], axis=1)
    assert (distance > 0.49).all() and (distance < 2.01).all()


def test_defenders_leave_one_gap_and_the_target_is_in_it():
    uniform = np.random.default_rng(0).random((200, UNIFORMS))
    episode, _ = sample(uniform, np.full(200, 1), joint_noise=0.0, velocity_noise=0.0)
    lanes = np.concatenate([episode.defenders[:, [1, 4, 7]], episode.target[:, 1:2]], axis=1)
    assert np.allclose(np.sort(lanes, axis=1), [[-1.17, -0.39, 0.39, 1.17]])
