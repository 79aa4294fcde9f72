"""Every format an actor leaves in acts as the actor did, for one observation as for many."""

from dataclasses import replace

import numpy as np
import pytest

from tests.learning.test_policy import random_policy
from touchline.learning.convert import jax_functions, observation_sets, parity
from touchline.learning.export import FORMATS
from touchline.soccer.recording import load_recording


@pytest.fixture(scope="module")
def policy():
    return random_policy(3, (89, 32, 32, 12))


@pytest.fixture(scope="module")
def sets():
    return observation_sets(load_recording().official.astype(np.float32))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("exported")


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_acts_as_the_actor_did_in_jax(policy, sets, directory, name):
    FORMATS[name].write(policy, directory / name)
    read = FORMATS[name].read(directory / name)
    found = parity(jax_functions(policy), read, sets)
    assert found.passed, found
    assert sum(found.observations.values()) >= 1_000
    one = sets["unit"][:1]
    assert read[1](one) == pytest.approx(policy(one), abs=1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_the_file_of_another_actor_does_not_pass(policy, sets, directory, name):
    other = replace(policy, biases=(*policy.biases[:-1], policy.biases[-1] + np.float32(1e-4)))
    FORMATS[name].write(other, directory / f"other-{name}")
    assert not parity(jax_functions(policy), FORMATS[name].read(directory / f"other-{name}"), sets).passed
