"""Rows of W&B's history: which step a value belongs to, and what it becomes in a run."""

from __future__ import annotations

import fnmatch
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wandb.proto.wandb_internal_pb2 import HistoryItem, HistoryRecord, MetricRecord

GLOBAL_STEP = "global_step"
"""The axis of metrics for which none is defined, in rows that have it; as SB3 and Touchline itself write it."""
COORDINATES = ("_step", "_timestamp", "_runtime")
"""Names under which W&B keeps a row's place; ``_wandb`` is its own too."""
INTERNAL = frozenset((*COORDINATES, "_wandb"))
_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_LARGEST_BITS = 1_023


class Row:
    """One row of history, its nested names joined by dots."""

    def __init__(self, record: HistoryRecord) -> None:
        tree: dict[str, Any] = {}
        for item in record.item:
            put(tree, tuple(item.nested_key) or (item.key,), _value(item))
        self.values, self.doubled = joined(tree)
        """Values by name; names that several of the row's values have, of which the last is kept."""
        step, time = self.values.get("_step"), self.values.get("_timestamp")
        self.step = int(step) if isinstance(step, int | float) else int(record.step.num)
        self.time = float(time) if isinstance(time, int | float) else None

    def numbers(self) -> Iterator[tuple[str, int | float]]:
        """The numbers, booleans as 1 and 0, without what W&B keeps for itself."""
        for name, value in self.values.items():
            if name not in INTERNAL and (number := as_number(value)) is not None:
                yield name, number

    def others(self) -> Iterator[tuple[str, Any]]:
        """Everything else: texts, lists, and mappings with a ``_type``, which are media."""
        for name, value in self.values.items():
            if name not in INTERNAL and as_number(value) is None:
                yield name, value


def as_number(value: Any) -> int | float | None:
    """The value as a number that the journal holds; None for anything else."""
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return]
    if kind is bool or (kind is int and value.bit_length() <= _LARGEST_BITS):
        return int(value)
    return _NAMED.get(value) if kind is str else None


class Axes:
    """Tells the step of each value: what its step metric says where that only grows, else W&B's own step.

    Two metrics of one axis may differ: one that has two values at one step of it would lose one on the far sides.
    """

    def __init__(self) -> None:
        self._exact: dict[str, str] = {}
        self._globs: dict[str, str] = {}
        self._found: dict[str, str] = {}
        self._newest_step: dict[str, int] = {}
        self.unfit: dict[str, str] = {}
        """Metric → its axis, whose values for it are no whole numbers, or do not grow."""
        self._newest: dict[str, Any] = {}

    def define(self, record: MetricRecord) -> None:
        """Take a call of ``define_metric``; a later one of a name wins."""
        if record.glob_name:
            self._globs = {record.glob_name: record.step_metric, **self._globs}
        else:
            self._exact[record.name] = record.step_metric

    def rewind(self) -> None:
        """Begin with the first row again, with what was learned of the axes."""
        self._newest.clear()
        self._found.clear()

    def learn(self, row: Row) -> None:
        """Take note of a row's axes, before ``places`` is asked about any."""
        for name, axis, value in self._by_axis(row):
            step = _whole(value)
            if step is None or step <= self._newest_step.get(name, -(2**63)):
                self.unfit.setdefault(name, axis)
            else:
                self._newest_step[name] = step

    def places(self, row: Row) -> dict[int, dict[str, int | float]]:
        """The numbers of a row by their step."""
        numbers = dict(row.numbers())
        steps = {name: _whole(value) for name, axis, value in self._by_axis(row) if name not in self.unfit}
        if not steps:
            return {row.step: numbers} if numbers else {}
        places: dict[int, dict[str, int | float]] = {}
        for name, number in numbers.items():
            step = steps.get(name)
            places.setdefault(row.step if step is None else step, {})[name] = number
        return places

    def _by_axis(self, row: Row) -> Iterable[tuple[str, str, Any]]:
        """(metric, axis, value of the axis) for the metrics of a row that have one."""
        if not (self._exact or self._globs) and GLOBAL_STEP not in row.values:
            return
        axes = {GLOBAL_STEP, *self._exact.values(), *self._globs.values()}
        self._newest.update({axis: row.values[axis] for axis in axes if axis in row.values})
        for name, _ in row.numbers():
            axis = self._axis(name) or (GLOBAL_STEP if GLOBAL_STEP in row.values else "")
            if axis and axis != "_step" and axis in self._newest:
                yield name, axis, self._newest[axis]

    def _axis(self, name: str) -> str:
        if name not in self._found:
            globs = (axis for pattern, axis in self._globs.items() if fnmatch.fnmatchcase(name, pattern))
            self._found[name] = self._exact.get(name) or next(globs, "")
        return self._found[name]


def put(tree: dict[str, Any], names: Sequence[str], value: Any) -> None:
    """Set a value in nested dictionaries, which are made where they are missing."""
    *outer, last = names
    for name in outer:
        inner = tree.get(name)
        if not isinstance(inner, dict):
            inner = tree[name] = {}
        tree = inner
    tree[last] = value


def nested(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings under names joined by dots; a mapping with a ``_type`` is a leaf."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value and "_type" not in value:
            yield from nested(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def joined(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The leaves under names joined by dots, and the names that more than one has: ``{"a.b": 1, "a": {"b": 2}}``.

    Of these the last one is in the result.
    """
    found: dict[str, Any] = {}
    doubled = []
    for name, value in nested(values):
        if name in found:
            doubled.append(name)
        found[name] = value
    return found, doubled


def _value(item: HistoryItem) -> Any:
    if item.value_json:
        return json.loads(item.value_json)
    which = item.WhichOneof("value") if "value" in item.DESCRIPTOR.oneofs_by_name else None  # as of wandb 0.31
    if which is None or which == "none":
        return None
    value = getattr(item, which)
    return json.loads(value) if which == "json" else value


def _whole(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and -(2**63) <= value < 2**63 else None
