"""Brax: its callbacks, which record into a run, save the parameters and stop; for PPO, whose training can go on.

    with Training("brax-ppo", every=1_000_000) as training:
        brax = BraxCallbacks(training)
        train(environment, num_timesteps=TOTAL - training.start, progress_fn=brax.progress,
              policy_params_fn=brax.policy_params, restore_params=brax.restore())

Brax hands out its parameters alone: a training that goes on has the networks and the statistics of observations, and
begins with fresh optimisers and episodes, as with Brax's own checkpoints. Brax calls back ``num_evals`` times;
between two calls nothing is recorded, saved or stopped. SAC takes ``progress`` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from brax.training.acme.running_statistics import NormalizationMode, RunningStatisticsState
from brax.training.types import UInt64

from touchline.errors import UsageError
from touchline.integrations.training import Training, opened
from touchline.tracking.run import Run


class BraxCallbacks:
    """The callbacks of one ``train``. Steps are policy transitions over all environments."""

    def __init__(self, training: Training | Run) -> None:
        """``training``: an open ``Training``, or a run alone, to which is recorded without saving.

        Raises UsageError when it is not open, or neither.
        """
        self._run, self._training = opened(training)

    @property
    def start(self) -> int:
        """Where the training goes on: Brax itself counts from 0 again."""
        return self._training.start if self._training else 0

    def progress(self, num_steps: int, metrics: Mapping[str, Any]) -> None:
        """Record an evaluation: Brax's ``progress_fn``."""
        step = self.start + int(num_steps)
        if not (self.start and num_steps == 0):  # what a restored policy is worth was recorded before
            self._run.log(metrics, step)
        if self._training is not None and self._training.watch is not None:
            self._training.watch.step(step, metrics)

    def policy_params(self, current_step: int, make_policy: Callable[..., Any], params: Any) -> None:
        """Save where that is due, and where a stop was asked for leave with the exit code of ``Training``.

        Brax's ``policy_params_fn``.
        """
        if self._training is not None:
            self._training.store.wait()  # calls are rare: none is missed for the sake of the save before
            normalizer, *networks = params
            state = {"normalizer": _fields(normalizer), "networks": networks}
            self._training.store.maybe_save(self.start + int(current_step), state)

    def restore(self) -> Any:
        """Return the newest checkpoint's parameters, for ``restore_params``; None where there is none.

        Raises what ``CheckpointStore.restore_or`` raises, and UsageError without a ``Training``.
        """
        if self._training is None:
            raise UsageError("A run alone has no checkpoints to go on from. Give BraxCallbacks a Training.")
        state = self._training.restore_or({"normalizer": {}, "networks": []})
        if not state["networks"]:
            return None
        statistics = dict(state["normalizer"])
        if isinstance(statistics["count"], Mapping):
            statistics["count"] = UInt64(**statistics["count"])
        statistics["mode"] = NormalizationMode(statistics["mode"])
        return (RunningStatisticsState(**statistics), *state["networks"])


def _fields(statistics: RunningStatisticsState) -> dict[str, Any]:
    """What statistics of observations consist of, as plain values; Brax counts in two words of 32 bits."""
    fields = dict(vars(statistics))
    if isinstance(fields["count"], UInt64):
        fields["count"] = dict(vars(fields["count"]))
    fields["mode"] = int(fields["mode"])
    return fields
