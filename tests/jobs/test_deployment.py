"""The deployed file acts as the policy was trained, sees where an episode begins, and is what every judge plays."""

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.learning.test_policy import random_policy
from tests.soccer.test_official import torque_share
from touchline.errors import TouchlineError
from touchline.jobs.deployment import FILE_NAME, DeployedPolicy, deployed, load_deployed
from touchline.jobs.judge import Judge
from touchline.learning.policy import Policy
from touchline.soccer.control import soft_ankles, stand_still
from touchline.soccer.layout import LAYOUT
from touchline.soccer.official import OfficialEnv
from touchline.soccer.official_model import make_official
from touchline.soccer.preprocessor import Preprocessor
from touchline.soccer.scenario import Scenario
from touchline.soccer.tasks import TASKS

CONTROLLER = soft_ankles()
PERIOD = CONTROLLER.decimation


@pytest.fixture(scope="module")
def policy():
    return replace(random_policy(), metadata={"controller": CONTROLLER.to_dict()})


@pytest.fixture(scope="module")
def ready(policy):
    return deployed(policy)


@pytest.fixture
def module(ready):
    """The file as the competition loads it, without a history."""
    return torch.jit.load(io.BytesIO(ready.file)).eval()


def observations(n, seed=0):
    """In the middle of an episode: joints move, nobody is elsewhere at once."""
    seen = np.random.default_rng(seed).normal(size=(n, 89)).astype(np.float32)
    seen[:, LAYOUT["goal_team_0_rel_robot"]] = 5.0
    return seen


def expected(policy, seen_first, seen_now):
    """The share for actions chosen at ``seen_first``, joints as of ``seen_now``."""
    return torque_share(CONTROLLER, policy(seen_first), seen_now[:, :12], seen_now[:, 12:24])


def call(module, seen):
    with torch.inference_mode():
        return module(torch.from_numpy(seen)).numpy()


def test_it_chooses_what_the_policy_chooses(policy, ready):
    seen = observations(50)
    assert ready(seen) == pytest.approx(policy(seen), abs=1e-6)
    assert ready.logits(seen) == pytest.approx(policy.logits(seen), abs=1e-5)
    assert np.array_equal(ready(seen)[7], ready(seen[7]))


def test_it_keeps_its_targets_for_a_policy_step_and_follows_the_joints_at_every_call(ready, module):
    calls = [observations(3, seed) for seed in range(2 * PERIOD + 1)]
    for i, seen in enumerate(calls):
        chosen_at = calls[i - i % PERIOD]
        np.testing.assert_array_equal(call(module, seen), expected(ready, chosen_at, seen))


@pytest.mark.parametrize("how", ["at rest", "elsewhere"])
def test_a_robot_that_begins_anew_gets_new_targets_and_the_others_keep_theirs(ready, module, how):
    first, again = observations(3, 1), observations(3, 2)
    call(module, first)
    if how == "at rest":
        again[1, LAYOUT["joint_velocity"]] = 0.0
    else:
        again[1, LAYOUT["goal_team_0_rel_robot"]] += 0.2
    found = call(module, again)
    np.testing.assert_array_equal(found[1:2], expected(ready, again[1:2], again[1:2]))
    np.testing.assert_array_equal(found[::2], expected(ready, first[::2], again[::2]))
    for seed in range(3, 3 + PERIOD):  # and from there on each counts for itself
        later = observations(3, seed)
        later[1, LAYOUT["goal_team_0_rel_robot"]] = again[1, LAYOUT["goal_team_0_rel_robot"]]
        found = call(module, later)
    np.testing.assert_array_equal(found[1:2], expected(ready, later[1:2], later[1:2]))


def test_another_number_of_robots_begins_anew(ready, module):
    call(module, observations(3, 1))
    for n in (2, 5, 1):
        seen = observations(n, n)
        np.testing.assert_array_equal(call(module, seen), expected(ready, seen, seen))


def test_a_robot_does_not_depend_on_how_many_are_played_with_it(module):
    calls = [observations(64, seed) for seed in range(PERIOD + 1)]
    together = [call(module, seen) for seen in calls]
    alone = [call(module, np.ascontiguousarray(seen[9:10])) for seen in calls]
    np.testing.assert_array_equal(np.concatenate(alone), np.stack(together)[:, 9])


def test_no_gradient_is_kept(module):
    assert not module(torch.from_numpy(observations(2))).requires_grad


@pytest.mark.parametrize("task", TASKS)
def test_called_at_every_physics_step_it_is_the_robot_that_judges_play_to_the_last_bit(ready, module, task):
    env, official = OfficialEnv(task, CONTROLLER), make_official(task)
    prepare, index = Preprocessor().modify_state, np.eye(len(TASKS))[TASKS.index(task)]
    ours, _ = env.reset(seed=3)
    raw, info = official.reset(seed=3)
    low, high = official.action_space.low, official.action_space.high
    for _ in range(30):
        np.testing.assert_allclose(prepare(raw, {**info, "task_index": index})[0], ours, atol=1e-6)
        for _ in range(PERIOD):
            share = call(module, prepare(raw, {**info, "task_index": index}))
            raw, _, _, _, info = official.step((low + (high - low) * ((share + 1) / 2))[0])
        ours, *_ = env.step(ready(ours))
        np.testing.assert_array_equal(official.sim.data._data.qpos[: env.qpos.size], env.qpos)


def test_it_is_saved_and_loaded_byte_for_byte(ready, tmp_path):
    loaded = load_deployed(ready.save(tmp_path))
    assert isinstance(loaded, DeployedPolicy)
    assert loaded.file == ready.file == (tmp_path / FILE_NAME).read_bytes()
    assert loaded.digest == hashlib.sha256(ready.file).hexdigest()
    assert deployed(loaded) is loaded


def test_a_policy_from_before_gets_its_file_when_it_is_loaded(policy, tmp_path):
    seen = observations(5)
    assert load_deployed(policy.save(tmp_path))(seen) == pytest.approx(policy(seen), abs=1e-6)


@pytest.mark.parametrize("what", ["another actor", "another controller", "another period", "another clip", "no file"])
def test_a_file_that_is_not_made_of_its_policy_is_refused(policy, ready, tmp_path, what):
    other = {
        "another actor": lambda: (
            deployed(replace(policy, biases=(*policy.biases[:-1], policy.biases[-1] * 1.01))).file
        ),
        "another controller": lambda: deployed(_under(policy, stand_still())).file,
        "another clip": lambda: deployed(replace(policy, clip=policy.clip / 10)).file,
        "another period": lambda: deployed(_under(policy, replace(CONTROLLER, decimation=1))).file,
        "no file": lambda: b"no zip",
    }
    ready.save(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(other[what]())
    with pytest.raises(TouchlineError, match=r"model\.pt"):
        load_deployed(tmp_path)


def _under(policy, controller):
    return replace(policy, metadata={"controller": controller.to_dict()})


def test_a_policy_of_another_world_has_nothing_to_be_deployed_to(policy):
    other = replace(policy, metadata={"world": "quadruped"})
    assert deployed(other) is other


def test_a_judge_plays_the_file_of_a_policy_that_comes_without(policy, ready):
    scenario = Scenario("kick_to_target", 1)
    with Judge(1) as judge:
        plain, file = judge.evaluate(policy, [scenario]), judge.evaluate(ready, [scenario])
    env = OfficialEnv(scenario.task, CONTROLLER)
    seen, _ = env.reset(options={"scenario": scenario})
    ended = False
    while not ended:
        seen, _, terminated, truncated, info = env.step(ready(seen))
        ended = terminated or truncated
    assert plain.scores[scenario.task] == file.scores[scenario.task] == [info["score"]]
    assert isinstance(policy, Policy) and not isinstance(policy, DeployedPolicy)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_broken_sensor_gives_shares_and_does_not_outlast_its_call(module, value):
    seen = observations(1)
    broken = seen.copy()
    broken[0, ::3] = value
    first = call(module, broken)
    assert np.isfinite(first).all() and (np.abs(first) <= 1.0).all()
    for _ in range(PERIOD):
        following = call(module, seen)
        assert np.isfinite(following).all()
