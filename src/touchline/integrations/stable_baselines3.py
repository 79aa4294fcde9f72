"""Stable-Baselines3 and SBX: a callback that records, films, saves, watches and stops.

A training that goes on, in six lines::

    with Training("ppo-pendulum", every=50_000) as training:
        film = gymnasium.make("Pendulum-v1", render_mode="rgb_array")
        callback = TouchlineCallback(training, video_env=film)
        model = training.restore_or(PPO("MlpPolicy", "Pendulum-v1"))
        model.learn(1_000_000 - model.num_timesteps, callback, reset_num_timesteps=False)
"""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Figure, HParam, Image, KVWriter, Video
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.utils import FloatSchedule
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, is_vecenv_wrapped

from touchline.cadence import Cadence
from touchline.errors import UsageError
from touchline.integrations.training import Training, opened
from touchline.tracking.run import Run
from touchline.watch import TrainingWatch

_DEFAULT_FPS = 30.0
_EPISODES, _TOTAL = "time/episodes", "time/total_timesteps"
"""Metrics of Stable-Baselines3: the first is in each dump that an off-policy model makes of its own accord."""
_WATCH_SECONDS = 0.05
"""How often the watch is told the step: at each of thousands a second it would cost a percent."""


class TouchlineCallback(BaseCallback):
    """Records what a model logs, and ``train/episode_reward`` and ``train/episode_length`` of each step at which
    episodes ended (the mean of those that did); films, saves, watches and stops. Steps are policy transitions.

    Combine it with others as a list: ``model.learn(n, [callback, EvalCallback(…)])``.
    """

    def __init__(
        self,
        training: Training | Run,
        *,
        video_env: gymnasium.Env[Any, Any] | VecEnv | None = None,
        video_every: int = 50_000,
        video_seconds: float = 60.0,
        video_steps: int = 1_000,
        verbose: int = 0,
    ) -> None:
        """Nothing is touched before ``learn``.

        Args:
            training: an open ``Training``, or a run alone, to which is recorded without saving or watching.
            video_env: in which the deterministic policy is filmed, with ``render_mode="rgb_array"``.
            video_every: steps between two films, counted as crossed multiples.
            video_seconds: films are not more frequent than this; filming takes the training's time.
            video_steps: longest film, in policy transitions.
            verbose: Stable-Baselines3's own.

        Raises:
            UsageError: the environment renders no frames, or ``training`` is not open or no such thing.
        """
        super().__init__(verbose)
        if video_env is not None and video_env.render_mode != "rgb_array":
            raise UsageError(
                f"The environment to film renders {video_env.render_mode!r}. Make it with "
                'gymnasium.make(…, render_mode="rgb_array").'
            )
        self._run, self._training = opened(training)
        self._watch = self._training.watch if self._training else None
        self._watch_from = 0.0
        self._section: AbstractContextManager[None] = nullcontext()
        self._video_env, self._video_steps = video_env, video_steps
        self._video_due = Cadence(video_every, video_seconds)

    def _on_training_start(self) -> None:
        restored = self._training.start if self._training else 0
        if self.num_timesteps < restored:
            raise UsageError(
                f"learn() begins at step {self.num_timesteps:,}, and this training goes on at {restored:,}. Call "
                "learn(TOTAL - model.num_timesteps, callback, reset_num_timesteps=False) with a model from "
                "training.restore_or(model)."
            )
        if not self._run.resumed:
            self._run.log_params(hyperparameters(self.model))
        self._writer = _RunWriter(self._run, self._watch)
        self.logger.output_formats.append(self._writer)
        # Vectorised and with pictures' channels first, as the model sees its own.
        wrapped = (
            BaseAlgorithm._wrap_env(self._video_env, monitor_wrapper=False) if self._video_env is not None else None
        )
        self._film_env: VecEnv | None = wrapped

    def _on_rollout_start(self) -> None:
        # Here the model is whole: a rollout was learned from, and no other has begun.
        if self._training is not None and self._training.store.due(self.num_timesteps):
            self._enter("checkpoint")
            self._training.store.save(self.num_timesteps, self.model, wait=False)
        self._enter("environment")

    def _on_rollout_end(self) -> None:
        self._enter("update")

    def _on_step(self) -> bool:
        step = self.num_timesteps
        if self.locals["dones"].any():
            self._log_episodes(step)
            self._writer.await_dumps(self._dumps_ahead())
        if self._watch is not None and (now := monotonic()) >= self._watch_from:
            self._watch_from = now + _WATCH_SECONDS
            self._watch.step(step)
        if self._film_env is not None and self._video_due.due(step):
            self._film(self._film_env, step)
        return self._training is None or not self._training.stop.requested

    def _on_training_end(self) -> None:
        self._leave()
        self.logger.output_formats.remove(self._writer)
        self._writer.close()
        if self._training is not None and self.num_timesteps > self._training.store.saved_step:
            self._training.store.save(self.num_timesteps, self.model, wait=False)

    def _log_episodes(self, step: int) -> None:
        ended = [info["episode"] for info in self.locals["infos"] if "episode" in info]
        if ended:
            reward = sum(float(one["r"]) for one in ended) / len(ended)
            length = sum(float(one["l"]) for one in ended) / len(ended)
            self._run.log({"train/episode_reward": reward, "train/episode_length": length}, step)

    def _dumps_ahead(self) -> int:
        """How often the model is about to dump at this step: off-policy ones do for each environment that ended."""
        every = self.locals.get("log_interval")
        if not every or not isinstance(self.model, OffPolicyAlgorithm):
            return 0
        before = self.model._episode_num
        return int((before + int(self.locals["dones"].sum())) // every - before // every)

    def _film(self, env: VecEnv, step: int) -> None:
        """Film one episode, or tell why it cannot be; a training does not end for want of a picture."""
        try:
            section = self._watch.section("evaluation") if self._watch is not None else nullcontext()
            with section:
                frames, reward = self._play(env)
            fps: Any = env.metadata.get("render_fps", _DEFAULT_FPS)
            self._run.log_video(frames, "eval/video", step, caption=f"return {reward:.4g}", fps=float(fps))
        except Exception as error:
            self._film_env = None
            self._run.alert("Filming failed", f"{type(error).__name__}: {error} The training goes on without films.")

    def _play(self, env: VecEnv) -> tuple[list[Any], float]:
        frames: list[Any] = []
        reward, state, starts = 0.0, None, np.ones(env.num_envs, dtype=bool)
        normalize = None if is_vecenv_wrapped(env, VecNormalize) else self.model.get_vec_normalize_env()
        observation: Any = env.reset()
        while len(frames) < self._video_steps:
            frames.append(env.get_images()[0])
            seen = observation if normalize is None else normalize.normalize_obs(observation)
            action, state = self.model.predict(seen, state, starts, deterministic=True)
            observation, rewards, starts, _ = env.step(action)
            reward += float(rewards[0])
            if starts[0]:
                break
        return frames, reward

    def _enter(self, name: str) -> None:
        """Charge the loop's time to ``name`` from now on."""
        self._leave()
        if self._watch is not None:
            self._section = self._watch.section(name)
            self._section.__enter__()

    def _leave(self) -> None:
        self._section.__exit__(None, None, None)
        self._section = nullcontext()


class _RunWriter(KVWriter):
    """Hands what a model's logger dumps to a run.

    Of the dumps that a model makes one after the other at one step, the numbers are recorded with the last of them:
    they have the same names, and a metric has one value at a step.
    """

    def __init__(self, run: Run, watch: TrainingWatch | None) -> None:
        self._run, self._watch = run, watch
        self._held: dict[str, Any] = {}
        self._held_step = self._counted_at = -1
        self._ahead = 0

    def await_dumps(self, count: int) -> None:
        """``count`` of the model's own dumps come at this step; what an earlier step left is recorded."""
        self._release()
        self._ahead = count

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Record one dump: numbers, and the videos, images, figures and parameters among them."""
        numbers = {}
        for name, value in key_values.items():
            if "touchline" in (key_excluded.get(name) or ()):
                continue
            if isinstance(value, Video):
                self._run.log_video(value.frames.numpy()[0], name, step, fps=value.fps)
            elif isinstance(value, Image):
                self._run.log_image(_rows_first(value), name, step)
            elif isinstance(value, Figure):
                self._run.log_image(_drawn(value.figure), name, step)
            elif isinstance(value, HParam):
                self._run.log_params(value.hparam_dict)
            elif not isinstance(value, str):
                numbers[name] = value
        if step != self._held_step:
            self._release()
        self._held, self._held_step = self._held | numbers, step
        if _EPISODES in key_values:
            self._ahead -= 1
        if self._ahead <= 0 or _EPISODES not in key_values:
            self._release()

    def close(self) -> None:
        """Record what is left; the run is its opener's to end."""
        self._release()

    def _release(self) -> None:
        numbers, step, self._held = self._held, self._held_step, {}
        # An evaluation and the model's own dump at the step of it both tell this: it is the step.
        if _TOTAL in numbers and self._counted_at == step:
            del numbers[_TOTAL]
        elif _TOTAL in numbers:
            self._counted_at = step
        if numbers:
            self._run.log(numbers, step)
            if self._watch is not None:
                self._watch.note(step, numbers)


def hyperparameters(model: BaseAlgorithm) -> dict[str, Any]:
    """What a model was made with, as far as it is plain; a schedule by its first value."""
    found: dict[str, Any] = {"algorithm": type(model).__name__}
    for name in inspect.signature(type(model).__init__).parameters:
        value = getattr(model, name, None)
        if isinstance(value, FloatSchedule):
            value = value(1.0)
        if isinstance(value, bool | int | float | str) and not name.startswith("_"):
            found[name] = value
    if model.policy_kwargs:
        found["policy_kwargs"] = str(model.policy_kwargs)
    if model.env is not None:
        specification = model.env.get_attr("spec", 0)[0]
        found |= {"environment": getattr(specification, "id", "") or "unnamed", "n_envs": model.n_envs}
    return found


def _rows_first(image: Image) -> Any:
    """An image's pixels as (H, W, 3), from any order of TensorBoard's axes."""
    pixels = np.asarray(image.image)
    axes = image.dataformats.upper()
    return pixels.transpose([axes.index(axis) for axis in ("HWC" if "C" in axes else "HW")])


def _drawn(figure: Any) -> Any:
    """The pixels of a figure of matplotlib, as (H, W, 4)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())
