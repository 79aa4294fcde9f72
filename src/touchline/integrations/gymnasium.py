"""Gymnasium: wrappers that record episodes and films into a run, for single and for vector environments.

Steps are policy transitions over all environments, counted by the wrapper from ``start`` on::

    env = gymnasium.make_vec("Pendulum-v1", num_envs=8, render_mode="rgb_array")
    env = VectorRecordVideo(VectorRecordEpisodes(env, run), run, every=50_000)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import RecordEpisodeStatistics
from gymnasium.wrappers.vector import RecordEpisodeStatistics as VectorRecordEpisodeStatistics

from touchline.cadence import Cadence
from touchline.errors import UsageError
from touchline.tracking.run import Run

_DEFAULT_FPS = 30.0
_OURS = "touchline_episode"
"""Key of our statistics until it is known whether there are others under Gymnasium's, which refuses two."""


class RecordEpisodes(RecordEpisodeStatistics):
    """Gymnasium's ``RecordEpisodeStatistics``, which logs ``train/episode_reward`` and ``train/episode_length``.

    Around an environment that has such statistics already, those are logged: they are of the environment's own
    rewards and episodes, which wrappers in between may have changed.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], run: Run, *, start: int = 0, buffer_length: int = 100) -> None:
        """``start``: policy transitions made before, where a training goes on; ``buffer_length``: Gymnasium's own."""
        super().__init__(env, buffer_length, _OURS)
        self._run, self._steps = run, start
        self._is_told = _has_wrapper(env, RecordEpisodeStatistics)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step, and log an episode that ends."""
        made: tuple[Any, Any, bool, bool, dict[str, Any]] = super().step(action)
        self._steps += 1
        info = made[4]
        ours = info.pop(_OURS, None)
        theirs = info["episode"] if _has_statistics(info) else None
        self._is_told = self._is_told or theirs is not None
        if ours is not None and not self._is_told:
            info.setdefault("episode", ours)
        told = theirs if self._is_told else ours
        if told is not None:
            row = {"train/episode_reward": float(told["r"]), "train/episode_length": float(told["l"])}
            self._run.log(row, self._steps)
        return made


class VectorRecordEpisodes(VectorRecordEpisodeStatistics):
    """The same of a vector environment: episodes that end at one step are logged as their mean."""

    def __init__(
        self, env: gymnasium.vector.VectorEnv[Any, Any, Any], run: Run, *, start: int = 0, buffer_length: int = 100
    ) -> None:
        """See ``RecordEpisodes``."""
        super().__init__(env, buffer_length, _OURS)
        self._run, self._steps = run, start
        self._resets_in_steps = _resets_in_steps(env)
        self._is_told = _has_wrapper(env, VectorRecordEpisodeStatistics) or (
            isinstance(env.unwrapped, gymnasium.vector.SyncVectorEnv)
            and _has_wrapper(env.unwrapped.envs[0], RecordEpisodeStatistics)
        )

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all, and log the episodes that end."""
        resets = int(self.prev_dones.sum()) if self._resets_in_steps else 0
        made: tuple[Any, Any, Any, Any, dict[str, Any]] = super().step(actions)
        self._steps += self.num_envs - resets
        info = made[4]
        ours, ended = info.pop(_OURS, None), info.pop(f"_{_OURS}", None)
        # Where an environment is reset within the step that ends its episode, its own wrappers' words are put aside.
        theirs: Any = next((place for place in (info, info.get("final_info")) if _has_statistics(place)), {})
        self._is_told = self._is_told or bool(theirs)
        if self._is_told:
            told, ended = theirs.get("episode"), theirs.get("_episode")
        elif (told := ours) is not None and "episode" not in info:
            info |= {"episode": ours, "_episode": ended}
        if told is not None and ended is not None:
            row = {
                "train/episode_reward": float(told["r"][ended].mean()),
                "train/episode_length": float(told["l"][ended].mean()),
            }
            self._run.log(row, self._steps)
        return made


def _resets_in_steps(env: gymnasium.vector.VectorEnv[Any, Any, Any]) -> bool:
    """Whether the step after an episode's end only resets, as Gymnasium's do by default, and takes no action."""
    return env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP) is AutoresetMode.NEXT_STEP


def _has_wrapper(env: Any, kind: type) -> bool:
    """Whether one of the wrappers of ``env`` is such a one, and tells its statistics under Gymnasium's own key."""
    while env is not None:
        if isinstance(env, kind) and getattr(env, "_stats_key", "") in ("episode", _OURS):
            return True
        env = getattr(env, "env", None)
    return False


def _has_statistics(info: Any) -> bool:
    """Whether somebody else's statistics of an episode are there: Stable-Baselines3's ``Monitor`` tells such too."""
    told = info.get("episode") if isinstance(info, dict) else None
    return isinstance(told, dict) and "r" in told and "l" in told


class _Camera:
    """Decides when to film, and hands what was filmed to the run."""

    def __init__(self, env: Any, run: Run, every: int, seconds: float, frames: int, name: str, start: int) -> None:
        if env.render_mode != "rgb_array":
            raise UsageError(
                f'An environment is filmed with render_mode="rgb_array", and this one renders {env.render_mode!r}. '
                'Make it with gymnasium.make(…, render_mode="rgb_array").'
            )
        self._run, self._name, self._longest = run, name, frames
        self._fps = float(env.metadata.get("render_fps", _DEFAULT_FPS))
        self._due = Cadence(every, seconds, start=start)
        self._begun = start
        self._is_first, self._broken = True, False
        self.films: list[list[Any]] = []
        """Frames so far, of each environment filmed; empty while nothing is."""

    def begin_if_due(self, step: int) -> bool:
        """Whether a film begins with the episode that begins at ``step``; the very first one is filmed."""
        if self._broken or not (self._is_first or self._due.due(step)):
            return False
        self._is_first, self._begun = False, step
        return True

    def take(self, render: Callable[[], Any], is_over: bool) -> None:
        """Keep a picture of each environment; hand the film over when it is over, or long enough.

        Where no picture can be rendered, a person is told, and nothing is filmed any more.
        """
        try:
            pictures = render()
        except Exception as error:
            self.films, self._broken = [], True
            self._run.alert("Filming failed", f"{type(error).__name__}: {error} The training goes on without films.")
            return
        self.films = self.films or [[] for _ in pictures]
        for film, picture in zip(self.films, pictures, strict=True):
            film.append(np.asarray(picture))
        if is_over or len(self.films[0]) >= self._longest:
            self.end()

    def end(self) -> None:
        """Hand over what was filmed."""
        films, self.films = self.films, []
        if films:
            self._run.log_video(films[0] if len(films) == 1 else films, self._name, self._begun, fps=self._fps)


class RecordVideo(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Films whole episodes of the training itself, the first one and then one each ``every`` steps.

    What is filmed takes the loop the time of rendering it; encoding happens elsewhere. Where rendering fails, a
    person is told, and the training goes on.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        run: Run,
        *,
        every: int = 50_000,
        minimum_seconds: float = 60.0,
        frames: int = 1_000,
        name: str = "train/video",
        start: int = 0,
    ) -> None:
        """``every`` and ``start`` in policy transitions, ``frames`` of the longest film.

        Raises UsageError when the environment renders no frames.
        """
        super().__init__(env)
        self._camera = _Camera(env, run, every, minimum_seconds, frames, name, start)
        self._steps = start

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Reset, and begin to film where that is due."""
        made = self.env.reset(**options)
        self._camera.end()
        if self._camera.begin_if_due(self._steps):
            self._camera.take(self._pictures, is_over=False)
        return made

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step, and take a frame while filming."""
        made = self.env.step(action)
        self._steps += 1
        if self._camera.films:
            self._camera.take(self._pictures, is_over=made[2] or made[3])
        return made

    def close(self) -> None:
        """Hand over a film that was begun, and close the environment."""
        self._camera.end()
        self.env.close()

    def _pictures(self) -> list[Any]:
        return [self.env.render()]


class VectorRecordVideo(gymnasium.vector.VectorWrapper):
    """The same of a vector environment: the first ``tiles`` environments in one picture, ``frames`` long."""

    def __init__(
        self,
        env: gymnasium.vector.VectorEnv[Any, Any, Any],
        run: Run,
        *,
        every: int = 50_000,
        minimum_seconds: float = 60.0,
        frames: int = 250,
        tiles: int = 4,
        name: str = "train/video",
        start: int = 0,
    ) -> None:
        """See ``RecordVideo``."""
        super().__init__(env)
        self._camera = _Camera(env, run, every, minimum_seconds, frames, name, start)
        self._steps, self._tiles = start, tiles
        self._resets_in_steps, self._resets = _resets_in_steps(env), 0

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Reset all."""
        self._resets = 0
        made: tuple[Any, dict[str, Any]] = self.env.reset(**options)
        return made

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all, and take a frame while filming or where a film is due."""
        is_filming = self._camera.films or self._camera.begin_if_due(self._steps)
        made = self.env.step(actions)
        self._steps += self.num_envs - self._resets
        if self._resets_in_steps:
            self._resets = int(np.logical_or(made[2], made[3]).sum())
        if is_filming:
            self._camera.take(self._pictures, is_over=False)
        return made

    def close(self, **options: Any) -> None:
        """Hand over a film that was begun, and close the environments."""
        self._camera.end()
        self.env.close(**options)

    def _pictures(self) -> list[Any]:
        return list(self.env.render() or ())[: self._tiles]
