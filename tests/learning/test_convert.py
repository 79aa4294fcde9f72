"""Conversion copies every number, and the parity check notices when it does not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.learning.test_policy import random_policy
from touchline.gates import gate2
from touchline.learning.convert import (
    NormalisedActor,
    jax_functions,
    keeps_return,
    mlp_of,
    observation_sets,
    parity,
    policy_of,
    torch_functions,
)
from touchline.soccer.recording import load_recording


@pytest.fixture(scope="module")
def recorded():
    return load_recording().official.astype(np.float32)


@pytest.fixture(scope="module")
def policy(recorded):
    """Its normaliser is that of the recorded observations, its head of noise another one than its mean."""
    random = np.random.default_rng(1)
    head = random.normal(size=(12, 64)).astype(np.float32) / 8, random.normal(size=12).astype(np.float32)
    std = np.maximum(recorded.std(axis=0), np.float32(0.1))
    return replace(random_policy(3, (89, 64, 64, 12)), mean=recorded.mean(axis=0), std=std, exploration=head)


@pytest.fixture(scope="module")
def sets(recorded):
    return observation_sets(recorded)


def check(policy, module, sets):
    return parity(jax_functions(policy), torch_functions(module), sets)


def test_jax_and_pytorch_agree_on_every_set(policy, sets):
    result = check(policy, NormalisedActor(policy), sets)
    assert result.passed, result
    assert result.observations == {"recorded": 312, "small": 312, "unit": 312, "large": 312}
    assert gate2(result).passed


def test_large_logits_are_judged_by_their_own_precision(policy, sets):
    loud = replace(policy, weights=(*policy.weights[:-1], policy.weights[-1] * np.float32(30)))
    assert check(loud, NormalisedActor(loud), sets).passed


def test_numpy_agrees_too(policy, sets):
    logits = (policy.logits, policy)
    assert parity(jax_functions(policy), logits, sets).passed


def with_layers_in_another_order(module):
    first, second = module.actor.layers[0], module.actor.layers[1]
    with torch.no_grad():
        first.weight[:, :64], second.weight[:] = second.weight.clone(), first.weight[:, :64].clone()


def transposed(module):
    with torch.no_grad():
        module.actor.layers[1].weight.copy_(module.actor.layers[1].weight.T.clone())


def with_the_head_of_the_noise(module, policy):
    weight, bias = policy.exploration
    with torch.no_grad():
        module.actor.layers[-1].weight.copy_(torch.tensor(weight))
        module.actor.layers[-1].bias.copy_(torch.tensor(bias))


def without_normaliser(module):
    module.mean.zero_()
    module.std.fill_(1.0)


def without_clip(module):
    module.clip = 1e9


def without_a_bias(module):
    torch.nn.init.zeros_(module.actor.layers[2].bias)


def with_an_epsilon_under_the_root(module):
    """The actor has no LayerNorm; the normaliser's is the epsilon that a conversion can get wrong."""
    module.std.copy_(torch.sqrt(module.std**2 + 1e-4))


def without_the_floor(module):
    module.std[module.std <= 0.1] = 0.05


def with_a_little_of_another_action(module):
    """Small beside the largest logit, and plain in the action."""
    with torch.no_grad():
        module.actor.layers[-1].weight[0] += 1e-4 * module.actor.layers[-1].weight[1]


@pytest.mark.parametrize(
    "mutate",
    [
        with_a_little_of_another_action,
        with_layers_in_another_order,
        transposed,
        with_the_head_of_the_noise,
        without_normaliser,
        without_clip,
        without_a_bias,
        with_an_epsilon_under_the_root,
        without_the_floor,
    ],
)
def test_a_wrong_conversion_does_not_pass(policy, sets, mutate):
    module = NormalisedActor(policy)
    mutate(module, policy) if mutate is with_the_head_of_the_noise else mutate(module)
    assert not gate2(check(policy, module, sets)).passed


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
    assert returned.exploration is None


@pytest.mark.parametrize(
    ("deterministic", "stochastic", "kept"),
    [
        (95.0, 100.0, True),
        (94.9, 100.0, False),
        (-105.0, -100.0, True),
        (-105.1, -100.0, False),
        (120.0, 100.0, True),
    ],
)
def test_a_deterministic_policy_may_lose_5_percent_whatever_the_sign(deterministic, stochastic, kept):
    assert keeps_return(deterministic, stochastic) is kept
