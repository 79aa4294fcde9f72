"""Conversion between the canonical policy, JAX and PyTorch, and the proof that nothing changed on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from touchline.gates import Agreement
from touchline.learning.ddpg import Mlp
from touchline.learning.policy import Policy

TOLERANCE = 1e-5
"""Largest difference allowed: of logits at the scale of an observation's largest where that is above 1, of actions as
it is where no logit is above ``LOUD``.

Two correct float32 implementations add up in different orders, so their logits differ by a few times 6e-8 of the
largest number they add.
"""
LOUD = 32.0
"""Where logits are larger, float32 does not keep actions to the tolerance; they are judged at this scale then."""
RETURN_SHARE = 0.05
"""By how much of the stochastic return the deterministic one may stay below it."""
Function = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class NormalisedActor(nn.Module):
    """The actor with its normaliser baked in: raw observations (b, n) → actions (b, m) in [-1, 1]."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.tensor(policy.mean))
        self.std = nn.Buffer(torch.tensor(policy.std))
        self.clip = float(policy.clip)
        self.actor = mlp_of(policy)

    @torch.jit.export
    def logits(self, observation: Tensor) -> Tensor:
        """Return the actor's output before tanh."""
        seen = torch.clamp((observation - self.mean) / self.std, -self.clip, self.clip)
        return self.actor.logits(seen)

    def forward(self, observation: Tensor) -> Tensor:
        """Return actions."""
        return torch.tanh(self.logits(observation))


def mlp_of(policy: Policy) -> Mlp:
    """Return the policy's layers as ``DDPG_FF.actor``, without the normaliser."""
    sizes = [policy.weights[0].shape[1], *(bias.shape[0] for bias in policy.biases)]
    mlp = Mlp(sizes[0], sizes[1:-1], sizes[-1], squash=True)
    with torch.no_grad():
        for layer, weight, bias in zip(mlp.layers, policy.weights, policy.biases, strict=True):
            assert isinstance(layer, nn.Linear)
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.copy_(torch.tensor(bias))
    return mlp


def policy_of(mlp: Mlp, like: Policy, metadata: Mapping[str, Any] | None = None) -> Policy:
    """Return the canonical policy of ``DDPG_FF.actor``, with the normaliser of ``like``."""
    layers = [layer for layer in mlp.layers if isinstance(layer, nn.Linear)]
    return Policy(
        weights=tuple(layer.weight.detach().numpy().copy() for layer in layers),
        biases=tuple(layer.bias.detach().numpy().copy() for layer in layers),
        mean=like.mean,
        std=like.std,
        clip=like.clip,
        metadata=like.metadata if metadata is None else metadata,
    )


def jax_functions(policy: Policy) -> tuple[Function, Function]:
    """Return (logits, actions) of the policy computed by the JAX actor it was trained as."""
    import jax
    import jax.numpy as jnp

    from touchline.learning.networks import Actor

    hidden = [bias.shape[0] for bias in policy.biases[:-1]]
    action_size = policy.biases[-1].shape[0]
    actor = Actor(action_size, hidden, 1.0)
    names = [f"hidden_{i}" for i in range(len(hidden))] + ["mean"]
    params = {
        name: {"kernel": jnp.asarray(weight.T), "bias": jnp.asarray(bias)}
        for name, weight, bias in zip(names, policy.weights, policy.biases, strict=True)
    }
    # the head that conversion drops; any values do, because the mean does not depend on it
    params["log_std"] = {"kernel": jnp.zeros_like(params["mean"]["kernel"]), "bias": jnp.zeros(action_size)}

    @jax.jit
    def logits(observation: Any) -> Any:
        seen = jnp.clip((observation - policy.mean) / policy.std, -policy.clip, policy.clip)
        return actor.apply({"params": params}, seen)[0]

    def actions(observation: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(jnp.tanh(logits(observation)))

    return lambda observation: np.asarray(logits(observation)), actions


def torch_functions(module: NormalisedActor) -> tuple[Function, Function]:
    """Return (logits, actions) of a converted module."""

    def call(function: Callable[[Tensor], Tensor], observation: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(function(torch.from_numpy(observation)).numpy())

    return lambda x: call(module.logits, x), lambda x: call(module, x)


def observation_sets(recorded: NDArray[np.float32], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Return the sets on which parity is judged, each (k, n).

    Unit-scale noise alone hides a wrong epsilon or a missing normaliser; recorded, small and large sets do not.
    """
    unit = np.random.default_rng(seed).normal(size=recorded.shape).astype(np.float32)
    return {"recorded": recorded, "small": unit * np.float32(1e-3), "unit": unit, "large": unit * np.float32(10)}


def parity(
    reference: tuple[Function, Function],
    converted: tuple[Function, Function],
    sets: Mapping[str, NDArray[np.float32]],
) -> Agreement:
    """Compare ``logits`` and ``actions`` of two policies on every observation set: gate 2 judges it.

    The differences are at the scale that ``TOLERANCE`` tells; NaN counts as infinite.
    """
    worst = {}
    for name, x in sets.items():
        expected = reference[0](x)
        scale = np.maximum(np.abs(expected).max(axis=-1, keepdims=True), 1.0)
        worst[name] = {
            "logits": _largest((expected - converted[0](x)) / scale),
            "actions": _largest((reference[1](x) - converted[1](x)) / np.maximum(scale / LOUD, 1.0)),
        }
    return Agreement(worst, {name: len(x) for name, x in sets.items()}, TOLERANCE)


def keeps_return(deterministic: float, stochastic: float) -> bool:
    """Whether a policy loses little by acting without noise: mean returns over the same episodes.

    At least 95 % of a positive stochastic return; of a negative one, which 95 % would better, at most 5 % of its size
    below it.
    """
    return deterministic >= stochastic - RETURN_SHARE * abs(stochastic)


def _largest(difference: NDArray[np.float32]) -> float:
    return float(np.nan_to_num(np.abs(difference), nan=np.inf).max())
