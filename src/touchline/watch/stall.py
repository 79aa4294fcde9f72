"""What may be wrong with the training itself: no step, no progress, a loss that is no number."""

from __future__ import annotations

import contextlib
import math
import reprlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from touchline.errors import UsageError, at_least
from touchline.watch.rules import Finding
from touchline.watch.snapshot import Snapshot
from touchline.watch.words import duration

_WAITING_NOTES = 16_384
"""Of more notes between two looks the oldest are not judged."""


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
    """Patterns of the names of metrics that have to be finite, in capitals or not."""

    def __post_init__(self) -> None:
        at_least(0.0, self, "silent_seconds", "progress_steps", "progress_margin")
        if bool(self.progress_metric) != bool(self.progress_steps):
            raise UsageError(
                f"TrainingConfig.progress_metric is {self.progress_metric!r} and progress_steps "
                f"{self.progress_steps}. Give both, or neither."
            )


_Note = tuple[int, Mapping[str, Any], float]
"""Step, metrics, monotonic seconds."""


@dataclass(frozen=True)
class _Best:
    """The best value of the metric that has to get better."""

    value: float
    step: int
    at: float


@dataclass(frozen=True)
class _Odd:
    """A loss that is not finite, or was since the last look."""

    value: float
    first: int
    """Step of the first such value."""
    last: int
    """Step of the newest one."""
    steps: int
    """Number of steps that had one."""
    since: float
    """Monotonic seconds of the first one."""
    is_judged: bool = False
    """Whether its newest value was looked at."""
    is_over: bool = False
    """Whether a finite value came after it."""


class Training:
    """Takes notes of the training from any thread and judges them when asked."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._notes: deque[_Note] = deque(maxlen=_WAITING_NOTES)
        self._wanted: dict[str, bool] = {}
        self._last: tuple[int, float] | None = None
        self._odd: dict[str, _Odd] = {}
        self._mended: float | None = None
        self._best: _Best | None = None

    def note(self, step: int, metrics: Mapping[str, Any], at: float) -> None:
        """Note that training is at ``step`` at ``at`` (monotonic seconds); waits for nothing.

        ``metrics``: what ``float`` takes; that is done later, so that a value on a device holds up nobody here.

        Raises:
            UsageError: the metrics are no mapping of names.
        """
        # Run at every step, and cold in the processor's caches: each call that it makes would cost microseconds.
        wanted = {}
        try:
            for name in metrics:
                try:
                    is_wanted = self._wanted[name]
                except KeyError:
                    is_wanted = self._learn(name, metrics)
                if is_wanted:
                    value = metrics[name]
                    wanted[name] = value if type(value) is float else _detached(value)
        except TypeError as error:
            raise UsageError(
                f"Metrics are a mapping of names to numbers, and these are {reprlib.repr(metrics)} ({error}). Give "
                'them as {"loss": loss}.'
            ) from error
        self._notes.append((step, wanted, at))

    def _learn(self, name: str, metrics: Mapping[str, Any]) -> bool:
        """Whether training is judged by a metric; found out once a name, for steps are many.

        Raises TypeError when it is no name, or not one of a mapping.
        """
        if not isinstance(metrics, Mapping):
            raise TypeError(f"a {type(metrics).__name__} is no mapping")
        if not isinstance(name, str):
            raise TypeError(f"{name!r} is no name")
        wanted = self._wanted[name] = self._is_loss(name) or name == self._config.progress_metric
        return wanted

    def _is_loss(self, name: str) -> bool:
        return any(fnmatchcase(name.casefold(), pattern.casefold()) for pattern in self._config.losses)

    def find(self, snapshot: Snapshot) -> Iterator[Finding]:
        """Yield how training stands; nothing before the first note."""
        has_news = bool(self._notes)
        while self._notes:
            self._take(*self._notes.popleft())
        if self._last is None:
            return
        step, since = self._last
        yield self._silence(step, snapshot.at, since)
        if has_news:
            yield self._finiteness()
            if self._best is not None:
                yield self._progress(step, self._best)

    def _take(self, step: int, metrics: Mapping[str, Any], at: float) -> None:
        if self._last is None or step != self._last[0]:
            if self._last is not None and step < self._last[0]:
                self._best = None  # A run that went back to a checkpoint makes its way again.
            self._last = step, at
        for name, given in metrics.items():
            # What is no number, or an array that was donated meanwhile, says nothing.
            with contextlib.suppress(Exception):
                value = float(given)
                self._take_value(name, value, step, at)

    def _take_value(self, name: str, value: float, step: int, at: float) -> None:
        odd = self._odd.get(name)
        if not math.isfinite(value):
            if self._is_loss(name):
                self._odd[name] = _longer(odd, value, step, at)
            return
        if odd is not None and not odd.is_over:
            self._mended = at
            # It stays until it was judged, or nobody would hear of a loss that was odd between two looks.
            if odd.is_judged:
                del self._odd[name]
            else:
                self._odd[name] = replace(odd, is_over=True)
        if name == self._config.progress_metric:
            sign = -1.0 if self._config.progress_falls else 1.0
            if self._best is None or sign * (value - self._best.value) > self._config.progress_margin:
                self._best = _Best(value, step, at)

    def _silence(self, step: int, at: float, since: float) -> Finding:
        silent = at - since
        return Finding(
            "stalled",
            "training",
            silent >= self._config.silent_seconds,
            "warn",
            f"No step for {duration(silent)}",
            f"Training has been at step {step:,} for {duration(silent)}. Look at what it waits for, with "
            "`py-spy dump --pid` for example.",
            "Training makes steps again",
            since=since,
        )

    def _finiteness(self) -> Finding:
        recovery = "All losses are finite again"
        if not self._odd:
            return Finding("nonfinite_loss", "training", False, "error", "", "", recovery, since=self._mended)
        lasting = {name: odd for name, odd in self._odd.items() if not odd.is_over}
        name, odd = next(iter((lasting or self._odd).items()))
        began = min(odd.since for odd in self._odd.values())
        self._odd = {name: replace(odd, is_judged=True) for name, odd in lasting.items()}
        title, text = (_is_odd if lasting else _was_odd)(name, odd)
        return Finding("nonfinite_loss", "training", True, "error", title, text, recovery, since=began)

    def _progress(self, step: int, best: _Best) -> Finding:
        name, without = self._config.progress_metric, step - best.step
        return Finding(
            "no_progress",
            "training",
            without >= self._config.progress_steps,
            "warn",
            f"{name} is no better for {without:,} steps",
            f"{name} was best at step {best.step:,} with {best.value:.6g}, and {without:,} steps have not bettered "
            "it. Compare with another seed before you stop it.",
            f"{name} gets better again",
            since=best.at,
        )


def _longer(odd: _Odd | None, value: float, step: int, at: float) -> _Odd:
    """``odd`` with one more value that is not finite, or the first one."""
    if odd is None:
        return _Odd(value, step, step, 1, at)
    return replace(odd, last=step, steps=odd.steps + (step != odd.last), is_judged=False, is_over=False)


def _is_odd(name: str, odd: _Odd) -> tuple[str, str]:
    """Title and text of a loss that is not finite."""
    return (
        f"{name} is {odd.value}",
        f"{name} has been {odd.value} since step {odd.first:,}, in {_counted(odd.steps)} so far. Go back to a "
        "checkpoint before that, with a lower learning rate or clipped gradients.",
    )


def _was_odd(name: str, odd: _Odd) -> tuple[str, str]:
    """Title and text of a loss that was not finite and is again."""
    until = "" if odd.last == odd.first else f" to {odd.last:,}"
    return (
        f"{name} was {odd.value} at step {odd.first:,}",
        f"{name} was {odd.value} in {_counted(odd.steps)} (step {odd.first:,}{until}), and is finite again. See "
        "whether the parameters are, too; if not, go back to a checkpoint before that, and clip the gradients.",
    )


def _counted(steps: int) -> str:
    return "1 step" if steps == 1 else f"{steps:,} steps"


def _detached(value: Any) -> Any:
    """A tensor without its graph, whose memory a note would hold; everything else as it is."""
    return value.detach() if hasattr(value, "detach") else value
