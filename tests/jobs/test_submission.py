"""The competition's package acts as the policy does, with nothing but its own files."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.learning.test_policy import random_policy
from tests.soccer.test_official import Official
from touchline.jobs.submission import SubmissionModule, benchmark_package, write_package
from touchline.soccer.control import soft_ankles, stand_still
from touchline.soccer.official import OfficialEnv
from touchline.soccer.preprocessor import Preprocessor
from touchline.soccer.tasks import TASKS


@pytest.fixture(scope="module")
def policy():
    return replace(random_policy(), metadata={"controller": soft_ankles().to_dict()})


def test_the_module_gives_the_controllers_torque_as_a_share_of_the_limit(policy):
    controller = soft_ankles()
    observation = np.random.default_rng(0).normal(size=(50, 89)).astype(np.float32)
    target = controller.target(policy(observation))
    torque = controller.torque(target, observation[:, :12], observation[:, 12:24])
    with torch.inference_mode():
        share = SubmissionModule(policy, controller)(torch.from_numpy(observation)).numpy()
    assert share == pytest.approx(torque / np.asarray(controller.torque_limit), abs=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_its_preprocessor_sees_what_the_policy_was_trained_on(task):
    ours, theirs = OfficialEnv(task, stand_still()), Official(task, stand_still())
    ours.reset(seed=1)
    theirs.env.reset(seed=1)
    for _ in range(20):
        observation, *_ = ours.step(np.full(12, 0.2))
        theirs.step(np.full(12, 0.2))
    info = {**theirs.env._get_info(), "task_index": np.eye(3)[TASKS.index(task)]}
    prepared = Preprocessor().modify_state(theirs.env._get_obs(), info)[0]
    assert prepared == pytest.approx(observation, abs=1e-6)


def test_the_package_is_two_files_and_plays_a_whole_episode(policy, tmp_path):
    still = replace(
        policy,
        weights=tuple(np.zeros_like(weight) for weight in policy.weights),
        biases=tuple(np.zeros_like(bias) for bias in policy.biases),
        metadata={"controller": stand_still().to_dict()},
    )
    package = write_package(still, tmp_path / "submission")
    assert sorted(path.name for path in package.iterdir()) == ["model.pt", "preprocessor.py"]
    score, steps = benchmark_package(package, "goalie_penalty_kick", seed=0)
    assert steps == 5_000
    assert score == pytest.approx(-0.993, abs=0.02)
