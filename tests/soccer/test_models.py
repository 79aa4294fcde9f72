"""The packaged policy is what its card says: it walks to the ball."""

import hashlib
import re

import numpy as np
import pytest

from touchline.config import Settings
from touchline.errors import UsageError
from touchline.jobs.players import PACKAGED, find_player
from touchline.simulation.native import NativeWorld
from touchline.soccer.world import SoccerWorld


def test_the_walker_walks_a_metre_without_falling():
    policy = find_player(Settings(), "walker").policy
    world = SoccerWorld(joint_noise=0.02, velocity_noise=0.1).acting_as(policy.metadata)
    envs = NativeWorld(world, 12)
    observation, _ = envs.reset(seed=0, options={"tasks": np.zeros(12, dtype=np.int64)})
    root, fallen = world.index.root_position, np.zeros(12, dtype=bool)
    begin = envs.qpos[:, root][:, :2]
    for _ in range(150):
        observation, _, terminated, *_ = envs.step(policy(observation))
        fallen |= terminated
    walked = np.linalg.norm(envs.qpos[:, root][:, :2] - begin, axis=1)
    envs.close()
    assert fallen.sum() <= 2
    assert np.median(walked) > 1.0


def test_the_card_tells_the_digest_of_the_weights():
    directory = PACKAGED["walker"]
    (told,) = re.findall(r"sha256 `([0-9a-f]{64})`", (directory / "README.md").read_text())
    assert hashlib.sha256((directory / "policy.safetensors").read_bytes()).hexdigest() == told


def test_a_word_that_is_nearly_the_walker_is_corrected(tmp_path):
    with pytest.raises(UsageError, match="walker"):
        find_player(Settings(home=tmp_path), "wlker")
