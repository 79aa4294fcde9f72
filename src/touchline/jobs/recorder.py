"""What every training job does beside learning: cadences, GPU watch, checkpoints, videos, the display."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any

import numpy as np

from touchline.cadence import Cadence, WallClockCadence
from touchline.jobs.base import Interrupted, raise_if_stopped
from touchline.jobs.checkpoints import store_of
from touchline.jobs.progress import progress
from touchline.learning.progress import Progress, refuse_non_finite
from touchline.soccer.render import VideoRecorder
from touchline.soccer.trajectory import Trajectory
from touchline.tracking.run import Run
from touchline.watch import TrainingWatch, WatchConfig
from touchline.watch.system import SystemRecord

SHOWN = ("episode_reward", "episode_length", "fall_share", "touch_share", "goal_share")
"""Figures of the episodes that the display has room for."""


@dataclass(frozen=True)
class Hooks:
    """What a job has beside its loop; functions are called between two vector steps."""

    trajectories: Callable[[Any], Sequence[Trajectory]]
    """Learner's state → the episodes to film, at 25 frames a second."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """By name, what of the job goes into a checkpoint: objects with ``state_dict`` and ``load_state_dict``."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """JSON that goes into a checkpoint."""


class TrainingRecorder:
    """Takes the ``Progress`` of every vector step; a context manager that flushes on exit."""

    def __init__(self, run: Run, config: Any, hooks: Hooks, *, total_steps: int, decimation: int) -> None:
        """``config`` is the job's, with a RecordingConfig called ``recording``."""
        self.run, self.config, self.hooks = run, config.recording, hooks
        self._decimation = decimation
        config, whole = config.recording, config
        self._log_due = Cadence(config.log_every, minimum_seconds=config.log_minimum_seconds)
        self._video_due = WallClockCadence(config.video_seconds)
        # Whoever opened the run has refused what another configuration or code made, unless it was allowed.
        self._store = store_of(run.id, whole, run.settings, run=run, allow_changes=True)
        self._detail_due = Cadence(config.gpu_detail_every, minimum_seconds=config.log_minimum_seconds)
        self._watch = TrainingWatch(
            run, WatchConfig(prices=config.prices, spot=config.spot, budget_usd=config.budget_usd)
        )
        self.section = self._watch.section
        """Times a part of the loop, see ``TrainingWatch.section``."""
        self._system = SystemRecord(run.directory / "system.json")
        self._video = VideoRecorder(run.directory / "videos-in-work")
        self._display = progress(run.job, total_steps, "policy transitions")
        self._open = contextlib.ExitStack()
        self._bar: Any = None
        self._filmed = self._is_watching = False
        self._logged_at = time.monotonic()
        self._logged_step = 0
        self._saved_step = -1
        self._seen = self._logged = ""
        self.last: Progress[Any] | None = None

    def __enter__(self) -> TrainingRecorder:
        self._bar = self._open.enter_context(self._display)
        self._logged_at = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._open:
            if self.last is not None and (error is None or isinstance(error, Interrupted)):
                self._conclude(self.last, is_last=error is None)
            if error is None and self.last is not None and not self._filmed:
                self._film(self.last)
            self._system.wait()
            self._deliver_videos(self._video.close(timeout=60.0 if error is None else 0.0))
            self.run.set_tags({f"absent.{name}": reason for name, reason in self._watch.absent.items()})

    @property
    def cost(self) -> dict[str, float]:
        """What the training has cost on its GPUs, see ``TrainingWatch.cost``; empty without one."""
        return self._watch.cost

    def restore(self, loop: Any) -> Any:
        """Return the loop's state of the newest checkpoint and load the job's that is in it; ``loop`` without one."""
        loop = self._store.restore_or(self._state(loop))["loop"]
        self._logged_step = self._saved_step = self._store.step
        self._begin_watch()
        return loop

    def _begin_watch(self) -> None:
        """Watch from here on: the cost of an earlier process is known now."""
        if not self._is_watching:
            self._is_watching = True
            self._open.enter_context(self._watch)

    def _state(self, loop: Any) -> dict[str, Any]:
        cadences = {"log": self._log_due, "detail": self._detail_due}
        return {"loop": loop, "job": dict(self.hooks.state), "cadences": cadences, "watch": self._watch}

    def _conclude(self, last: Progress[Any], *, is_last: bool) -> None:
        if self._logged_step != last.step:
            self._log(last)
        if self._saved_step != last.step:
            self._save(last)
        self._store.wait()
        self._deliver_checkpoint(is_last=is_last)

    def __call__(self, progress: Progress[Any]) -> None:
        """Serve what is due after one vector step; raises Interrupted when the job was asked to stop."""
        self.last = progress
        self._begin_watch()
        self._watch.note(progress.step, progress.metrics)
        if self._log_due.due(progress.step):
            with self.section("logging"):
                self._log(progress)
        if self._store.due(progress.step):
            with self.section("checkpoint"):
                self._save(progress)
        self._deliver_checkpoint()
        if self._video_due.due():
            with self.section("evaluation"):
                self._film(progress)
        where = f"after {progress.step:,} policy transitions"
        raise_if_stopped(where)
        if self._watch.budget == "spent":
            spent = self._watch.cost["cost/usd"]
            raise Interrupted(
                f"Stopped {where}: {spent:.2f} of {self.config.budget_usd:.2f} USD are spent.", "budget"
            )

    def _log(self, progress: Progress[Any]) -> None:
        now = time.monotonic()
        speed = (progress.step - self._logged_step) / max(now - self._logged_at, 1e-9)
        self._logged_at, self._logged_step = now, progress.step
        episodes, tasks = progress.episodes.summary(), progress.episodes.by_task()
        metrics: dict[str, Any] = {
            "global_step": progress.step,
            "physics_step": progress.step * self._decimation,
            "train/buffer_size": progress.buffer_size,
            "train/updates": progress.updates,
            "train/updates_per_transition": progress.updates / max(progress.step, 1),
            "speed/policy_transitions_per_second": speed,
            "speed/physics_steps_per_second": speed * self._decimation,
        }
        metrics |= {f"train/{name}": value for name, value in (*progress.metrics.items(), *episodes.items())}
        if len(tasks) > 1:
            for task, figures in tasks.items():
                metrics |= {f"train/{task}/{name}": value for name, value in figures.items()}
        metrics |= {f"reward/{name}": float(np.mean(value)) for name, value in progress.terms.items()}
        metrics |= self._watch.metrics(detail=self._detail_due.due(progress.step))
        self.run.log(metrics, progress.step)
        self._bar.update(progress.step, **{name: value for name, value in episodes.items() if name in SHOWN})
        self._deliver_videos(self._video.poll())

    def _save(self, progress: Progress[Any]) -> None:
        """Begin to save; that it could not be written, the log and an alert tell, and the training goes on.

        Raises FloatingPointError for a learner that its last losses spoiled, so the newest checkpoint is a sound one.
        """
        refuse_non_finite(progress.metrics, progress.step)
        metadata = {**self.hooks.metadata, "run": self.run.id, "mlflow_run": self.run.mlflow_run_id}
        self._store.save(
            progress.step,
            self._state(progress.loop),
            metrics=progress.episodes.summary(),
            metadata=metadata,
            wait=False,
        )
        self._saved_step = progress.step

    def _deliver_checkpoint(self, *, is_last: bool = False) -> None:
        """Let the far sides have what became durable since the last call."""
        saved = self._store.saved
        name = PurePath(saved).name
        if saved != self._seen:
            self._seen = saved
            saved_step = self._store.saved_step
            costs = {"pause_seconds": self._store.pause_seconds, "write_seconds": self._store.write_seconds}
            self.run.log({f"checkpoint/{cost}": seconds for cost, seconds in costs.items()}, saved_step)
            self.run.set_tags({"checkpoint.newest": saved})
            self._system.take(lambda file: self.run.log_artifact(file, f"system/{name}.json"))
        wanted = self.config.checkpoint_artifacts
        is_wanted = wanted == "all" or (wanted == "last" and is_last)
        if is_wanted and saved != self._logged and Path(saved).is_dir():
            self._logged = saved
            self.run.log_artifact(saved, f"checkpoints/{name}", unchanging=True)

    def _film(self, progress: Progress[Any]) -> None:
        self._filmed = True
        played = self.hooks.trajectories(progress.state)
        self._video.submit(played, step=progress.step, caption=f"step {progress.step:,}")

    def _deliver_videos(self, videos: Any) -> None:
        for video in videos:
            self.run.log_video(video.path, "rollout", step=video.step, caption=f"step {video.step:,}")
            video.path.unlink()  # the run keeps its own copy
            self._bar.event(f"video of step {video.step:,}")
