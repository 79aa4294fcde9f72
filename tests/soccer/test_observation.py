"""The observation is the official one, field by field."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from touchline.simulation.native import NativeWorld
from touchline.soccer.control import soft_ankles
from touchline.soccer.layout import FIELDS, LAYOUT, OBSERVATION_SIZE, markdown_table
from touchline.soccer.observation import projected_gravity, to_world
from touchline.soccer.official_model import make_official
from touchline.soccer.preprocessor import Preprocessor
from touchline.soccer.tasks import TASKS
from touchline.soccer.world import SoccerWorld


def test_the_layout_has_86_official_values_and_a_task_one_hot():
    assert OBSERVATION_SIZE == 89
    assert LAYOUT["projected_gravity"] == slice(24, 27)
    assert LAYOUT["player_team"] == slice(57, 59)
    assert LAYOUT["task_index"] == slice(86, 89)


def test_the_documentation_is_the_table():
    documented = (Path(__file__).parents[2] / "docs" / "observation.md").read_text(encoding="utf-8")
    assert markdown_table() in documented, "print(layout.markdown_table()) into docs/observation.md"


def test_every_name_and_source_is_there_once():
    assert len(LAYOUT) == len(FIELDS) == 22
    assert len({field.official for field in FIELDS}) == 22


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_projected_gravity_is_down_seen_from_the_body(quaternion):
    w, x, y, z = np.asarray(quaternion) / np.linalg.norm(quaternion)
    expected = Rotation.from_quat([x, y, z, w]).inv().apply([0, 0, -1])
    assert projected_gravity(np.array([w, x, y, z])) == pytest.approx(expected, abs=1e-9)


def test_vectors_turn_into_the_world_frame_as_scipy_turns_them():
    rng = np.random.default_rng(0)
    quaternions, vectors = Rotation.random(50, random_state=1), rng.normal(size=(50, 3))
    ours = to_world(quaternions.as_quat()[:, [3, 0, 1, 2]], vectors)
    assert ours == pytest.approx(quaternions.apply(vectors), abs=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_the_training_scene_starts_where_the_official_environment_starts(task):
    """Every field of the first observation agrees: positions exactly, ranges for what is drawn at random."""
    official = make_official(task)
    raw, info = official.reset(seed=3)
    expected = Preprocessor().modify_state(raw, {**info, "task_index": np.eye(3)[TASKS.index(task)]})[0]
    env = NativeWorld(SoccerWorld(controller=soft_ankles(), joint_noise=0.0, velocity_noise=0.0), 400)
    observation, _ = env.reset(seed=0, options={"tasks": np.full(400, TASKS.index(task))})
    low, high = observation.min(axis=0), observation.max(axis=0)
    contacts = set(range(*LAYOUT["accelerometer"].indices(89)))  # they depend on the contact model
    wrong = [i for i in range(89) if i not in contacts and not low[i] - 0.06 <= expected[i] <= high[i] + 0.06]
    assert wrong == []
    official.close()
    env.close()


def test_the_preprocessor_takes_batches_and_single_observations():
    official = make_official(TASKS[0])
    raw, info = official.reset(seed=0)
    info = {**info, "task_index": np.eye(3)[0]}
    single = Preprocessor().modify_state(raw, info)
    batch = Preprocessor().modify_state(np.stack([raw, raw]), {k: np.stack([v, v]) for k, v in info.items()})
    assert single.shape == (1, 89)
    assert np.array_equal(batch, np.concatenate([single, single]))
    official.close()
