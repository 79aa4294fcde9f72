"""What may be wrong with the training itself: no step, no progress, a loss that is no number."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from touchline.errors import UsageError, at_least
from touchline.watch.rules import Finding
from touchline.watch.snapshot import Snapshot
from touchline.watch.words import duration

_WAITING_NOTES = 4_096


@dataclass(frozen=True)
class TrainingConfig:
    """When training is said to have stalled."""

    silent_seconds: float = 600.0
    """No new step for so long; longer than any evaluation or compilation."""
    progress_metric: str = ""
    """Name of the metric that has to get better; empty: none has to."""
    progress_steps: int = 0
    """Steps within which it has to; 0: it is not looked at."""
    progress_margin: float = 0.0
    """By more than this, in the metric's own unit."""
    progress_falls: bool = False
    """Whether the metric gets better by falling, as a loss does."""
    losses: tuple[str, ...] = ("*loss*",)
    """Patterns of the names of metrics that have to be finite."""

    def __post_init__(self) -> None:
        at_least(0.0, self, "silent_seconds", "progress_steps", "progress_margin")
        if bool(self.progress_metric) != bool(self.progress_steps):
            raise UsageError(
                f"TrainingConfig.progress_metric is {self.progress_metric!r} and progress_steps "
                f"{self.progress_steps}. Give both, or neither."
            )


_Note = tuple[int, Mapping[str, Any], float]
"""Step, metrics, monotonic seconds."""


class _Wanted(dict[str, bool]):
    """Metric → whether training is judged by it; found out once a name, for steps are many."""

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        self._config = config

    def __missing__(self, name: str) -> bool:
        is_loss = any(fnmatchcase(name, pattern) for pattern in self._config.losses)
        wanted = self[name] = is_loss or name == self._config.progress_metric
        return wanted


class Training:
    """Takes notes of the training from any thread and judges them when asked."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._notes: deque[_Note] = deque(maxlen=_WAITING_NOTES)
        self._wanted = _Wanted(config)
        self._last: tuple[int, float] | None = None
        self._odd: dict[str, tuple[float, int]] = {}
        self._best: tuple[float, int] | None = None

    def note(self, step: int, metrics: Mapping[str, Any], at: float) -> None:
        """Note that training is at ``step`` at ``at`` (monotonic seconds); waits for nothing.

        ``metrics``: what ``float`` takes; that is done later, so that a value on a device holds up nobody here.
        """
        # Run at every step, and cold in the processor's caches: each call that it makes would cost microseconds.
        wanted = {}
        for name in metrics:
            if self._wanted[name]:
                value = metrics[name]
                wanted[name] = value if type(value) is float else _detached(value)
        self._notes.append((step, wanted, at))

    def find(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield how training stands; nothing before the first note."""
        has_news = bool(self._notes)
        while self._notes:
            self._take(*self._notes.popleft())
        if self._last is None:
            return
        step, since = self._last
        yield self._silence(step, snapshot.at - since)
        if has_news:
            yield self._finiteness(step)
            if self._best is not None:
                yield self._progress(step, *self._best)

    def _take(self, step: int, metrics: Mapping[str, Any], at: float) -> None:
        if self._last is None or step != self._last[0]:
            if self._last is not None and step < self._last[0]:
                self._best = None  # A run that went back to a checkpoint makes its way again.
            self._last = step, at
        for name, given in metrics.items():
            # What is no number, or an array that was donated meanwhile, says nothing.
            with contextlib.suppress(Exception):
                value = float(given)
                self._take_value(name, value, step)

    def _take_value(self, name: str, value: float, step: int) -> None:
        if name == self._config.progress_metric and math.isfinite(value):
            sign = -1.0 if self._config.progress_falls else 1.0
            if self._best is None or sign * (value - self._best[0]) > self._config.progress_margin:
                self._best = value, step
        if math.isfinite(value):
            self._odd.pop(name, None)
        elif any(fnmatchcase(name, pattern) for pattern in self._config.losses):
            self._odd.setdefault(name, (value, step))

    def _silence(self, step: int, silent: float) -> Finding:
        return Finding(
            "stalled",
            "training",
            silent >= self._config.silent_seconds,
            "warn",
            f"No step for {duration(silent)}",
            f"Training has been at step {step:,} for {duration(silent)}. Look at what it waits for, with "
            "`py-spy dump --pid` for example.",
            "Training makes steps again",
        )

    def _finiteness(self, step: int) -> Finding:
        name, (value, since) = next(iter(self._odd.items()), ("loss", (math.nan, step)))
        return Finding(
            "nonfinite_loss",
            "training",
            bool(self._odd),
            "error",
            f"{name} is {value}",
            f"{name} has been {value} since step {since:,}. Go back to a checkpoint before that, with a lower "
            "learning rate or clipped gradients.",
            "All losses are finite again",
        )

    def _progress(self, step: int, best: float, since: int) -> Finding:
        name, without = self._config.progress_metric, step - since
        return Finding(
            "no_progress",
            "training",
            without >= self._config.progress_steps,
            "warn",
            f"{name} is no better for {without:,} steps",
            f"{name} was best at step {since:,} with {best:.6g}, and {without:,} steps have not bettered it. Compare "
            "with another seed before you stop it.",
            f"{name} gets better again",
        )


def _detached(value: Any) -> Any:
    """A tensor without its graph, whose memory a note would hold; everything else as it is."""
    return value.detach() if hasattr(value, "detach") else value
