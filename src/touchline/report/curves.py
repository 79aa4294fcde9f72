"""Curves for a page: the lowest, the highest and the mean of each of a bounded number of buckets, in one pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.tracking.journal import Event, JournalReader
from touchline.tracking.rewind import Timeline

MOST_BUCKETS = 1_000
"""Of one curve, an even number: about as many as a wide chart has columns of pixels."""
ALL_BUCKETS = 60_000
"""Of all curves of a run together, about 2 MB of text; with many metrics each has fewer."""
FEWEST_BUCKETS = 100
MOST_GAPS = 100
"""Stretches of values that are not finite, of which a curve keeps so many: of more, the nearest become one."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One metric of a run's newest attempt, in order of its steps; arrays have shape (buckets,)."""

    name: str
    points: int
    """Values that were logged."""
    not_finite: int
    gaps: Array
    """Where values are not finite, of shape (at most MOST_GAPS, 4): first and last step, first and last time."""
    last: float
    """The newest value, which may not be finite."""
    last_step: int
    lowest: float
    """Of the finite values; NaN where there are none."""
    highest: float
    steps: Array
    """Mean step of each bucket."""
    times: Array
    """Mean time of each bucket, in seconds since the epoch."""
    low: Array
    """Lowest finite value of each bucket, NaN where it has none."""
    high: Array
    mean: Array
    thinned: bool
    """Whether a bucket holds more than one value."""


class Buckets:
    """Takes the values of one metric; a bucket holds ``width`` of them, and that doubles when all are full."""

    def __init__(self, most: int = MOST_BUCKETS) -> None:
        """``most``: full buckets that are kept, an even number."""
        self.points = self.not_finite = 0
        self._gaps = np.empty((0, 6))
        """As ``Curve.gaps``, and behind each the numbers of its first and its last value."""
        self.last, self.last_step = np.nan, 0
        self.width = 1
        """Values of a full bucket."""
        self._most = most
        self._table = np.empty((6, 0))
        """Rows: sums of steps and times, the count, lowest, highest and mean finite value; a column a bucket."""
        self._rest = np.empty((3, 0))
        """Steps, times and values that do not fill a bucket yet."""

    def add(self, steps: Array, times: Array, values: Array) -> None:
        finite = np.isfinite(values)
        self.points += values.size
        self.last, self.last_step = float(values[-1]), int(steps[-1])
        if not finite.all():
            self.not_finite += int((~finite).sum())
            numbers = np.arange(self.points - values.size, self.points)
            self._gaps = _connected(np.concatenate([self._gaps, _gaps(~finite, steps, times, numbers)]))
            values = np.where(finite, values, np.nan)
        self._rest = np.concatenate([self._rest, np.stack([steps, times, values])], axis=1)
        self._fold()

    @property
    def full(self) -> int:
        """How many buckets are full: they stay as they are until ``width`` changes."""
        return int(self._table.shape[1])

    @property
    def is_in_order(self) -> bool:
        """Whether each bucket's mean step is above the one before."""
        steps = self._columns()
        return bool((np.diff(steps[0] / steps[2]) >= 0).all())

    def curve(self, name: str, most: int | None = None) -> Curve:
        """What was taken, in at most so many buckets."""
        table = self._columns()
        while table.shape[1] > (most or self._most):
            table = _halved(table)
        steps, times, count, low, high, mean = table
        order = np.argsort(steps / count, kind="stable")
        return Curve(
            name,
            self.points,
            self.not_finite,
            self._gaps[:, :4],
            self.last,
            self.last_step,
            float(np.fmin.reduce(low)),
            float(np.fmax.reduce(high)),
            (steps / count)[order],
            (times / count)[order],
            low[order],
            high[order],
            mean[order],
            bool((count > 1).any()),
        )

    def _columns(self) -> Array:
        """All buckets, the last of which may not be full."""
        if not self._rest.shape[1]:
            return self._table
        return np.concatenate([self._table, _bucket(self._rest[:, None, :])], axis=1)

    def _fold(self) -> None:
        while full := self._rest.shape[1] // self.width:
            take = min(full, self._most - self._table.shape[1])
            part = self._rest[:, : take * self.width].reshape(3, take, self.width)
            self._table = np.concatenate([self._table, _bucket(part)], axis=1)
            self._rest = self._rest[:, take * self.width :]
            if self._table.shape[1] == self._most:
                self._table = _halved(self._table)
                self.width *= 2


class Gathering:
    """The curves of a journal's ``metrics`` events, which come a block at a time and in order."""

    def __init__(self, names: Container[str] | None = None, most: int = MOST_BUCKETS) -> None:
        """``names``: the metrics that are wanted, None for all; ``most``: full buckets of each."""
        self.buckets: dict[str, Buckets] = defaultdict(lambda: Buckets(most))
        """By metric, in the order of their first value."""
        self._names = names

    def take(self, block: Sequence[Event]) -> Iterable[str]:
        """Take the events; returns the metrics that got a value."""
        places: dict[str, list[int]] = defaultdict(list)
        values: dict[str, list[Any]] = defaultdict(list)
        for place, event in enumerate(block):
            for name, value in event.payload.items():
                if self._names is None or name in self._names:
                    places[name].append(place)
                    values[name].append(value)
        steps = np.array([event.step or 0 for event in block], dtype=np.float64)
        times = np.array([event.time for event in block])
        for name, where in places.items():
            self.buckets[name].add(steps[where], times[where], np.array(values[name], dtype=np.float64))
        return places


def _gaps(mask: NDArray[np.bool_], *marks: NDArray[Any]) -> Array:
    """Stretches in which ``mask`` is true, each with the first and the last of every one of ``marks``."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    found: Array = np.stack([mark[place] for mark in marks for place in (first, last)], axis=1).astype(np.float64)
    return found


def _connected(gaps: Array) -> Array:
    """The stretches, with those as one that touch, and the nearest of more than MOST_GAPS."""
    between = gaps[1:, 4] - gaps[:-1, 5]
    (cuts,) = np.nonzero(between > 1)
    if cuts.size >= MOST_GAPS:
        cuts = np.sort(cuts[np.argsort(between[cuts], kind="stable")[1 - MOST_GAPS :]])
    found: Array = gaps[np.concatenate([[0], cuts + 1])]
    found[:, 1::2] = gaps[np.concatenate([cuts, [len(gaps) - 1]]), 1::2]
    return found


def _halved(table: Array) -> Array:
    """The table with one column of each two; a last one without a neighbour stays."""
    even = table.shape[1] // 2 * 2
    pairs = _merged(table[:, :even].reshape(6, even // 2, 2))
    return np.concatenate([pairs, table[:, even:]], axis=1)


def _bucket(part: NDArray[Any]) -> NDArray[Any]:
    """Columns of the table, of steps, times and values of shape (3, buckets, width)."""
    steps, times, values = part
    count = np.full(steps.shape[0], float(steps.shape[1]))
    finite = np.isfinite(values).sum(axis=1)
    low, high = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        # A sum of the largest floats would be infinite, and shares of the smallest are zero.
        mean = np.clip(np.nansum(values / finite[:, None], axis=1), low, high)
    return np.stack([steps.sum(axis=1), times.sum(axis=1), count, low, high, mean])


def _merged(pairs: NDArray[Any]) -> NDArray[Any]:
    """One column of each two, of shape (6, buckets, 2)."""
    steps, times, count, low, high, mean = pairs
    first, second = mean[:, 0], mean[:, 1]
    share = count[:, 0] / count.sum(axis=1)
    both = first * share + second * (1.0 - share)  # a sum of the largest floats would be infinite
    return np.stack(
        [
            steps.sum(axis=1),
            times.sum(axis=1),
            count.sum(axis=1),
            np.fmin.reduce(low, axis=1),
            np.fmax.reduce(high, axis=1),
            np.where(np.isnan(both), np.fmax(first, second), both),
        ]
    )


def together(parts: Sequence[Curve]) -> Curve:
    """The figures of one metric in several runs, the newest last; its arrays are those of the newest."""
    newest = parts[-1]
    return replace(
        newest,
        points=sum(part.points for part in parts),
        not_finite=sum(part.not_finite for part in parts),
        lowest=float(np.fmin.reduce([part.lowest for part in parts])),
        highest=float(np.fmax.reduce([part.highest for part in parts])),
    )


def read_curves(
    journal: JournalReader, names: Container[str] | None = None, most: int = MOST_BUCKETS
) -> dict[str, Curve]:
    """Every metric (or those of ``names``) of the newest attempt, in the order of their first value.

    ``most``: buckets of each curve; with many metrics it is fewer, so that all together have about ALL_BUCKETS.
    """
    timeline = Timeline.of(journal.of_kind(["rewind"]))
    found = Gathering(names)
    for block in journal.metric_rows():
        found.take(timeline.current(block))
    most = min(most, max(ALL_BUCKETS // max(len(found.buckets), 1), FEWEST_BUCKETS))
    return {name: buckets.curve(name, most) for name, buckets in found.buckets.items()}
