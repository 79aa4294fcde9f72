"""The competition's package holds the file that was judged, and the competition's own code scores it alike."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from tests.learning.test_policy import random_policy
from tests.soccer.test_official import Official
from touchline.errors import TouchlineError
from touchline.jobs import competition
from touchline.jobs.deployment import deployed
from touchline.jobs.submission import write_package
from touchline.soccer.control import soft_ankles, stand_still
from touchline.soccer.official import OfficialEnv
from touchline.soccer.preprocessor import Preprocessor
from touchline.soccer.tasks import TASKS

needs_sai_rl = pytest.mark.skipif(
    not competition.is_installed(), reason="sai_rl is not installed: pip install 'touchline[competition]'"
)


@pytest.fixture(scope="module")
def policy():
    return deployed(replace(random_policy(), metadata={"controller": soft_ankles().to_dict()}))


@pytest.fixture(scope="module")
def package(policy, tmp_path_factory):
    return write_package(policy, tmp_path_factory.mktemp("package") / "submission")


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


def test_the_package_is_the_judged_file_and_the_preprocessor(policy, package):
    assert sorted(path.name for path in package.iterdir()) == ["model.pt", "preprocessor.py"]
    assert hashlib.sha256((package / "model.pt").read_bytes()).hexdigest() == policy.digest


@needs_sai_rl
def test_sai_rl_scores_the_package_as_a_judge_scores_the_file_to_the_last_bit(policy, package):
    (found,) = competition.benchmark(package, ["kick_to_target"], seed=5, episodes=2)
    env = OfficialEnv("kick_to_target", soft_ankles())
    for seed, score, steps in zip(found.seeds, found.scores, found.physics_steps, strict=True):
        seen, _ = env.reset(seed=seed)
        ended = False
        while not ended:
            seen, _, terminated, truncated, info = env.step(policy(seen))
            ended = terminated or truncated
        assert (info["score"], info["physics_steps"]) == (score, steps)


@needs_sai_rl
def test_a_package_that_sai_rl_refuses_is_told_in_its_words(package, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "preprocessor.py").write_bytes((package / "preprocessor.py").read_bytes())
    (broken / "model.pt").write_bytes(b"no zip")
    with pytest.raises(TouchlineError, match="Failed to load PyTorch model"):
        competition.benchmark(broken, ["kick_to_target"], seed=5)
