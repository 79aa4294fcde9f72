"""Conversion copies every number, and the parity check notices when it does not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.learning.test_policy import random_policy
from touchline.learning.convert import (
    NormalisedActor,
    jax_functions,
    mlp_of,
    observation_sets,
    parity,
    policy_of,
    torch_functions,
)


@pytest.fixture(scope="module")
def policy():
    return random_policy(3, (89, 64, 64, 12))


@pytest.fixture(scope="module")
def sets(policy):
    noise = np.random.default_rng(0).normal(size=(500, 89))
    return observation_sets((noise * policy.std + policy.mean).astype(np.float32))


def check(policy, module, sets):
    return parity(jax_functions(policy), torch_functions(module), sets)


def test_jax_and_pytorch_agree_on_every_set(policy, sets):
    result = check(policy, NormalisedActor(policy), sets)
    assert result.passed, result
    assert result.observations == 2000


def test_large_logits_are_judged_by_their_own_precision(policy, sets):
    loud = replace(policy, weights=(*policy.weights[:-1], policy.weights[-1] * np.float32(30)))
    assert check(loud, NormalisedActor(loud), sets).passed


def test_numpy_agrees_too(policy, sets):
    logits = (policy.logits, policy)
    assert parity(jax_functions(policy), logits, sets).passed


def swapped(module):
    first, second = module.actor.layers[0], module.actor.layers[1]
    with torch.no_grad():
        first.weight[:, :64], second.weight[:] = second.weight.clone(), first.weight[:, :64].clone()


def transposed(module):
    with torch.no_grad():
        module.actor.layers[1].weight.copy_(module.actor.layers[1].weight.T.clone())


def without_normaliser(module):
    module.mean.zero_()
    module.std.fill_(1.0)


def without_clip(module):
    module.clip = 1e9


def without_a_bias(module):
    torch.nn.init.zeros_(module.actor.layers[2].bias)


def with_another_epsilon(module):
    module.std.add_(1e-3)


@pytest.mark.parametrize(
    "mutate", [swapped, transposed, without_normaliser, without_clip, without_a_bias, with_another_epsilon]
)
def test_a_wrong_conversion_does_not_pass(policy, sets, mutate):
    module = NormalisedActor(policy)
    mutate(module)
    assert not check(policy, module, sets).passed


def test_a_missing_tanh_does_not_pass(policy, sets):
    module = NormalisedActor(policy)
    logits, _ = torch_functions(module)
    assert not parity(jax_functions(policy), (logits, logits), sets).passed


def test_a_nan_does_not_pass(policy, sets):
    broken = replace(policy, biases=(*policy.biases[:-1], policy.biases[-1] * np.nan))
    assert not check(policy, NormalisedActor(broken), sets).passed


def test_the_way_back_from_pytorch_loses_nothing(policy, sets):
    returned = policy_of(mlp_of(policy), policy)
    assert np.array_equal(returned(sets["recorded"]), policy(sets["recorded"]))
