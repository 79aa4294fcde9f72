"""From the samples of a watch to a diagnosis: a window of low utilisation, judged at its end and told once."""

from __future__ import annotations

from dataclasses import dataclass

from touchline.watch.diagnosis import Diagnosis, diagnose
from touchline.watch.evidence import Evidence
from touchline.watch.sections import Sections
from touchline.watch.snapshot import Snapshot
from touchline.watch.window import Window

_WINDOWS_TO_TELL = 2
_REPEAT_SECONDS = 3_600.0


@dataclass(frozen=True)
class Judged:
    """What one window came to."""

    diagnosis: Diagnosis | None
    """None where utilisation was high enough, or cannot be had."""
    is_news: bool
    """Whether people should hear of it: it has stayed for a second window, and was not told within the last hour."""


class Idleness:
    """Collects windows of samples; one thread observes."""

    def __init__(self, sections: Sections, seconds: float, batch_size: int | None = None) -> None:
        """``seconds``: length of a window. ``batch_size``: samples of one update, where it is known."""
        self._sections = sections
        self._seconds = seconds
        self._batch_size = batch_size
        self._window = Window()
        self._began: float | None = None
        self._first_step: int | None = None
        self._cause = ""
        self._times = 0
        self._told: dict[str, float] = {}

    def observe(self, sample: Snapshot, step: int | None = None) -> Judged | None:
        """Take a sample, and at which step training is; returns what the window came to when it is complete."""
        if self._began is None:
            self._begin(sample.at, step)
        self._window = self._window.grown(sample.values)
        elapsed = sample.at - (self._began or sample.at)
        if elapsed < self._seconds:
            return None
        diagnosis = diagnose(self._evidence(elapsed, step))
        self._begin(sample.at, step)
        return self._judge(diagnosis, sample.at)

    def _begin(self, at: float, step: int | None) -> None:
        self._window, self._began, self._first_step = Window(), at, step
        self._sections.shares(), self._sections.compilations()

    def _evidence(self, elapsed: float, step: int | None) -> Evidence:
        series = self._window.series
        steps = None
        if step is not None and self._first_step is not None:
            steps = max(0, step - self._first_step) / elapsed
        return Evidence.of(
            {name: one.total / one.count for name, one in series.items()},
            self._sections.shares(),
            lowest={name: one.least for name, one in series.items()},
            steps_per_second=steps,
            compilations=self._sections.compilations(),
            batch_size=self._batch_size,
            window_seconds=elapsed,
        )

    def _judge(self, diagnosis: Diagnosis | None, at: float) -> Judged:
        cause = "" if diagnosis is None else diagnosis.cause
        self._times = self._times + 1 if cause == self._cause else 1
        self._cause = cause
        is_old = at - self._told.get(cause, float("-inf")) < _REPEAT_SECONDS
        is_news = bool(cause) and self._times >= _WINDOWS_TO_TELL and not is_old
        if is_news:
            self._told[cause] = at
        return Judged(diagnosis, is_news)
