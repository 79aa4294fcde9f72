"""What happens to the mirrored robot is the mirror image of what happens to the robot."""

import numpy as np
import pytest

from touchline.errors import UsageError
from touchline.simulation.native import NativeWorld
from touchline.simulation.symmetry import Reflection
from touchline.simulation.world import Start
from touchline.soccer.layout import LAYOUT, OBSERVATION_SIZE
from touchline.soccer.mirror import symmetry
from touchline.soccer.world import SoccerWorld


def mirrored_start(start):
    """The start with the whole scene reflected at the x-z plane."""
    qpos, qvel = start.qpos.copy(), start.qvel.copy()
    legs = symmetry().acted
    qpos[:, 7:19], qvel[:, 6:18] = legs(qpos[:, 7:19]), legs(qvel[:, 6:18])
    for first in (0, 19):
        qpos[:, first + 1] *= -1.0
        qpos[:, [first + 4, first + 6]] *= -1.0  # a rotation's x and z
    for first in (0, 18):
        qvel[:, first + 1] *= -1.0
        qvel[:, [first + 3, first + 5]] *= -1.0
    flip = np.array([1.0, -1.0, 1.0])
    episode = start.episode
    reflected = {"target": episode.target * flip, "defenders": episode.defenders * np.tile(flip, 3)}
    return Start(qpos, qvel, episode._replace(**reflected))


def test_a_mirrored_episode_is_the_mirror_image_of_the_episode():
    world = SoccerWorld()
    rng = np.random.default_rng(0)
    tasks = np.array([1, 2, 2, 1])  # without goalkeepers, whose patrol begins on one side
    start = world.start(rng.random((4, world.uniforms)), tasks, np)
    plain, mirror = NativeWorld(world, 4), NativeWorld(world, 4)
    seen, _ = plain.reset(seed=0, options={"tasks": tasks, "start": start})
    reflected, _ = mirror.reset(seed=0, options={"tasks": tasks, "start": mirrored_start(start)})
    image = symmetry()
    # The real robot's links are not wholly symmetric, so the two drift apart slowly; a wrong sign is of another size.
    for step in range(26):
        difference = np.abs(image.observation(seen) - reflected).max(axis=0)
        assert difference.max() < 0.05 or step > 1
        for field in ("joint_position", "projected_gravity", "ball_xpos_rel_robot", "target_xpos_rel_robot"):
            assert difference[LAYOUT[field]].max() < 0.05
        action = rng.uniform(-1, 1, (4, 12)).astype(np.float32)
        seen, reward, *_ = plain.step(action)
        reflected, mirrored_reward, *_ = mirror.step(image.action(action))
        assert np.allclose(reward, mirrored_reward, atol=0.1)
    plain.close()
    mirror.close()


def test_twice_mirrored_is_as_before():
    image, observation = symmetry(), np.random.default_rng(1).normal(size=(3, OBSERVATION_SIZE))
    assert np.array_equal(image.observation(image.observation(observation)), observation)
    assert not np.allclose(image.observation(observation), observation)


@pytest.mark.parametrize(
    ("source", "sign"), [((1, 2, 0), (1, 1, 1)), ((1, 0), (1.0, -1.0)), ((0, 0), (1, 1)), ((0, 1), (1,))]
)
def test_what_is_no_reflection_is_refused(source, sign):
    with pytest.raises(UsageError, match="no reflection"):
        Reflection(source, sign)
