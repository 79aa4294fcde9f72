"""The competition's ``training_loop``, called as it is, tracked, and without its mistakes."""

from __future__ import annotations

import contextlib
import inspect
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from touchline.cadence import Cadence
from touchline.errors import UsageError
from touchline.learning.progress import SATURATED
from touchline.learning.replay import ReplayBuffer, Transitions
from touchline.tracking.run import Run
from touchline.tracking.start import start_run

BATCH, UPDATE_EVERY, REPLAY, NOISE = 64, 4, 100_000, 0.1
"""Transitions an update, steps between updates, transitions kept, and the exploration noise, as in the original."""


def training_loop(
    env: Any,
    model: Any,
    action_function: Callable[[Any], Any] | None = None,
    preprocess_class: Callable[[], Any] | None = None,
    timesteps: int = 1000,
) -> None:
    """Train a model of the competition's kind for ``timesteps`` steps of ``env``, and close ``env``.

    What differs from the original: noise is added to the model's output, in [-1, 1], and ``action_function`` scales
    what comes of it (there the scaled torque was noised and clipped to ±1 N·m); the buffer holds that output too, so
    that the critic learns the actions the actor can choose; a time-out is no end, so its value bootstraps. Without an
    ``action_function`` actions are scaled to the range of ``env.action_space``, as the competition's own runner does.

    Everything is recorded in the run that is open in ``touchline.compat.wandb`` or ``touchline.compat.mlflow``, else
    in one of its own: losses, return and length of each episode, falls, saturation, speed, and at the end the weights
    as ``model.safetensors``. Draws come from NumPy's global generator, so ``numpy.random.seed`` repeats a training.

    Args:
        env: a Gymnasium environment; one step of it is one *policy transition*, in the competition 2 ms.
        model: called with a tensor (1, n), it returns actions (1, m) in [-1, 1]; ``train(states, actions, rewards,
            next_states, dones, epochs)`` learns from arrays and returns the losses of critic and actor.
        action_function: model's output (1, m) → actions of ``env`` (1, m).
        preprocess_class: makes an object whose ``modify_state(observation, info)`` returns what the model sees.
        timesteps: steps of ``env``.

    Raises:
        UsageError: the model cannot be trained so, or ``timesteps`` is below 1.
        FloatingPointError: a loss is not finite; the message tells the step.
    """
    _refuse_other_arguments(env, action_function, preprocess_class, timesteps)
    _refuse_other_models(model)
    prepare = preprocess_class().modify_state if preprocess_class else _as_it_is
    scale = action_function or _scaled_to(env.action_space)
    rng = np.random.default_rng(np.random.randint(2**31))  # the one that a script seeds
    log_due = Cadence(1_000, minimum_seconds=1.0)
    config = {"timesteps": timesteps, "batch": BATCH, "update_every": UPDATE_EVERY, "noise": NOISE}
    with contextlib.closing(env):
        state = _first(env, prepare)
        _refuse_other_observations(model, state)
        with _open_run(config) as run:
            memory, step, began = None, 0, time.monotonic()
            losses: dict[str, float] = {}
            episode = _Episode()
            while step < timesteps:
                with torch.inference_mode():
                    wanted = np.asarray(model(torch.from_numpy(state[None])).numpy()[0], np.float32)
                share = np.clip(wanted + rng.normal(0.0, NOISE, wanted.shape), -1.0, 1.0).astype(np.float32)
                observation, reward, terminated, truncated, info = env.step(np.asarray(scale(share[None]))[0])
                following = _flat(prepare(observation, info))
                if not (math.isfinite(reward) and np.isfinite(following).all()):
                    raise FloatingPointError(
                        f"The environment gave a reward or an observation that is not finite at step {step}. Mend "
                        "it: one NaN in the replay buffer spoils the model."
                    )
                memory = memory or ReplayBuffer(min(REPLAY, timesteps), state.size, share.size)
                parts = (state, share, following, reward, 0.0, terminated, terminated or truncated)
                memory.add(Transitions(*(np.asarray(part, np.float32)[None] for part in parts)))
                state, step = following, step + 1
                episode.add(float(reward), wanted)
                if len(memory) >= BATCH and step % UPDATE_EVERY == 0:
                    losses = _update(model, memory.split(memory.sample(rng, BATCH)), step)
                told = {}
                if terminated or truncated:
                    told = {**episode.figures(), "train/terminated": float(terminated)}
                    state, episode = _first(env, prepare), _Episode()
                if told or step == timesteps or log_due.due(step):
                    speed = step / max(time.monotonic() - began, 1e-9)
                    run.log({**told, **losses, "speed/policy_transitions_per_second": speed}, step)
            _keep(model, run)


@dataclass
class _Episode:
    """Sums over the running episode."""

    reward: float = 0.0
    length: int = 0
    saturated: float = 0.0

    def add(self, reward: float, action: Any) -> None:
        self.reward += reward
        self.length += 1
        self.saturated += float((np.abs(action) > SATURATED).mean())

    def figures(self) -> dict[str, float]:
        return {
            "train/episode_reward": self.reward,
            "train/episode_length": self.length,
            "train/action_saturation": self.saturated / self.length,
        }


def _update(model: Any, batch: Transitions[Any], step: int) -> dict[str, float]:
    critic_loss, actor_loss = model.train(
        batch.observation, batch.action, batch.reward[:, None], batch.next_observation, batch.terminated[:, None], 1
    )
    figures = {"train/critic_loss": float(critic_loss), "train/actor_loss": float(actor_loss)}
    for name, value in figures.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{name} became {value} at step {step}. Lower the learning rate or check the rewards."
            )
    return figures


@contextlib.contextmanager
def _open_run(config: dict[str, Any]) -> Iterator[Run]:
    """The run that a script has opened through one of the drop-ins, which stays open; else one of its own."""
    opened = [sys.modules.get(f"touchline.compat.{name}") for name in ("wandb._init", "mlflow._active")]
    active = next((found for module in opened if module is not None and (found := module.active()) is not None), None)
    if active is None:
        with start_run("training_loop", config=config) as run:
            yield run
    else:
        active.touchline.log_params(config)
        yield active.touchline


def _refuse_other_arguments(env: Any, action_function: Any, preprocess_class: Any, timesteps: Any) -> None:
    if not isinstance(timesteps, int) or timesteps < 1:
        raise UsageError(f"timesteps is {timesteps!r}. Give a whole number of at least 1.")
    if hasattr(env, "num_envs"):
        raise UsageError("The environment is a vector of several. Give one, as gymnasium.make makes it.")
    if action_function is None and not hasattr(env.action_space, "low"):
        raise UsageError(
            f"The actions are {env.action_space}, and nothing says what the model's, in [-1, 1], mean there. Give an "
            "action_function."
        )
    if preprocess_class is not None and not callable(preprocess_class):
        raise UsageError(f"preprocess_class is {preprocess_class!r}, which cannot be called. Give the class itself.")


def _refuse_other_models(model: Any) -> None:
    try:
        inspect.signature(model.train).bind(*range(6))
    except (AttributeError, TypeError, ValueError):
        raise UsageError(
            f"A {type(model).__qualname__} cannot be trained here: it needs train(states, actions, rewards, "
            "next_states, dones, epochs), as touchline.compat.competition.DDPG_FF has it."
        ) from None


def _refuse_other_observations(model: Any, state: Any) -> None:
    """A matrix that does not fit tells of shapes, not of what was given."""
    try:
        with torch.inference_mode():
            model(torch.from_numpy(state[None]))
    except RuntimeError as error:
        raise UsageError(
            f"The model does not take what it is to see, {state.size} numbers ({error}). Give it as many "
            "features, or a preprocess_class that makes those it takes."
        ) from error


def _scaled_to(space: Any) -> Callable[[Any], Any]:
    return lambda share: space.low + (share + 1.0) / 2.0 * (space.high - space.low)


def _as_it_is(observation: Any, info: Any) -> Any:
    return observation


def _flat(observation: Any) -> Any:
    return np.asarray(observation, np.float32).ravel()


def _first(env: Any, prepare: Callable[[Any, Any], Any]) -> Any:
    observation, info = env.reset()
    return _flat(prepare(observation, info))


def _keep(model: Any, run: Run) -> None:
    """Keep the weights; without pickle, so that loading them runs no code."""
    if not isinstance(model, torch.nn.Module):
        return
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.safetensors"
        save_file({name: tensor.detach().clone() for name, tensor in model.state_dict().items()}, path)
        run.log_artifact(path)
