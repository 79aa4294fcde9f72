"""The canonical policy: plain matrices that travel without pickle."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from touchline.errors import TouchlineError
from touchline.learning.policy import Policy, zero_policy


def random_policy(seed=0, sizes=(89, 32, 16, 12)):
    rng = np.random.default_rng(seed)
    return Policy(
        weights=tuple(rng.normal(size=(b, a)).astype(np.float32) / np.float32(a**0.5) for a, b in pairwise(sizes)),
        biases=tuple(rng.normal(size=b).astype(np.float32) * np.float32(0.1) for b in sizes[1:]),
        mean=rng.normal(size=sizes[0]).astype(np.float32),
        std=rng.uniform(0.1, 3, size=sizes[0]).astype(np.float32),
        metadata={"controller": {"pose": [0.1, 0.2]}},
    )


@given(st.integers(0, 1000))
def test_a_policy_survives_its_files(seed):
    import tempfile
    from pathlib import Path

    policy = random_policy(seed, (5, 4, 3))
    with tempfile.TemporaryDirectory() as directory:
        loaded = Policy.load(policy.save(Path(directory)))
    observation = np.random.default_rng(seed).normal(size=(7, 5)).astype(np.float32)
    assert np.array_equal(policy(observation), loaded(observation))
    assert loaded.metadata == policy.metadata


def test_actions_stay_within_one_for_any_observation():
    policy = random_policy()
    observation = np.random.default_rng(1).normal(size=(100, 89)).astype(np.float32) * 1e6
    assert (np.abs(policy(observation)) <= 1).all()


def test_a_single_observation_gives_a_single_action():
    policy = random_policy()
    assert policy(np.zeros(89, np.float32)).shape == (12,)


def test_samples_lie_around_the_deterministic_action_as_the_head_says(tmp_path):
    head = np.zeros((12, 16), np.float32), np.full(12, np.log(0.1), np.float32)
    policy = Policy.load(replace(random_policy(), exploration=head).save(tmp_path))
    observation = np.tile(np.ones(89, np.float32), (5_000, 1))
    raw = np.arctanh(policy.sample(observation, np.random.default_rng(0)).astype(np.float64))
    assert raw.mean(axis=0) == pytest.approx(policy.logits(observation)[0], abs=0.01)
    assert raw.std(axis=0) == pytest.approx(np.full(12, 0.1), rel=0.05)


def test_a_policy_without_a_head_of_noise_cannot_be_sampled():
    with pytest.raises(ValueError, match="deterministically"):
        random_policy().sample(np.zeros(89, np.float32), np.random.default_rng(0))


def test_the_zero_policy_does_nothing():
    assert not zero_policy(89, 12)(np.ones((3, 89))).any()


def test_a_directory_without_a_policy_is_told(tmp_path):
    with pytest.raises(TouchlineError, match=r"policy\.json is missing"):
        Policy.load(tmp_path)


def test_weights_that_are_cut_off_are_told(tmp_path):
    directory = zero_policy(3, 2).save(tmp_path)
    (directory / "policy.safetensors").write_bytes((directory / "policy.safetensors").read_bytes()[:50])
    with pytest.raises(TouchlineError, match="cannot be read"):
        Policy.load(str(directory))


def test_a_policy_of_a_newer_format_is_refused(tmp_path):
    path = random_policy().save(tmp_path)
    described = json.loads((path / "policy.json").read_text())
    (path / "policy.json").write_text(json.dumps({**described, "format": 99}))
    with pytest.raises(TouchlineError, match="format 99"):
        Policy.load(path)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff\x00", b'{"format": "x"}'])
def test_a_description_that_is_none_is_told(tmp_path, text):
    path = random_policy().save(tmp_path)
    (path / "policy.json").write_bytes(text)
    with pytest.raises(TouchlineError, match=r"policy\.json cannot be read"):
        Policy.load(path)


@pytest.mark.parametrize("change", [{"layers": 5}, {"layers": 0}, {"layers": "1"}, {"clip": "wide"}, {"clip": 0.0}])
def test_a_description_that_does_not_fit_its_arrays_is_told(tmp_path, change):
    path = zero_policy(3, 2).save(tmp_path)
    described = json.loads((path / "policy.json").read_text())
    (path / "policy.json").write_text(json.dumps(described | change))
    with pytest.raises(TouchlineError, match="is damaged"):
        Policy.load(path)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("layers.0.weight", np.full((2, 3), np.nan, np.float32)),
        ("layers.0.weight", np.zeros((2, 4), np.float32)),
        ("layers.0.weight", np.zeros((5, 3), np.float32)),
        ("layers.0.bias", np.zeros(1, np.float32)),
        ("normaliser.mean", np.zeros(4, np.float32)),
        ("normaliser.std", np.zeros(3, np.float32)),
        ("exploration.weight", np.zeros((1, 3), np.float32)),
    ],
)
def test_arrays_with_which_no_policy_can_act_are_told(tmp_path, name, array):
    path = zero_policy(3, 2).save(tmp_path)
    save_file(load_file(path / "policy.safetensors") | {name: array}, path / "policy.safetensors")
    with pytest.raises(TouchlineError, match="is damaged"):
        Policy.load(path)


def test_the_clip_bounds_what_the_network_sees():
    policy = replace(random_policy(), clip=2.0)
    seen = policy.normalise(np.full(89, 1e9, np.float32))
    assert np.abs(seen).max() == 2.0
