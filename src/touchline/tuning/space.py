"""The search space: which fields of a frozen configuration are tuned, between which values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from touchline.errors import UsageError, unknown
from touchline.overlay import overlay, read_toml

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

T = TypeVar("T")
TOGETHER = "+"
"""Joins the fields that always get one value: ``sac.actor_lr+sac.critic_lr``."""
EXAMPLES = "log:1e-5:1e-3, 0.95:0.999, int:1:8, log:int:16:1024 or 128,256,512"


@dataclass(frozen=True)
class Between:
    """Numbers from ``low`` to ``high``, both included."""

    low: float
    high: float
    log: bool = False
    """Whether equal ratios, not equal distances, are equally likely."""
    whole: bool = False
    """Whole numbers only."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UsageError(f"A range goes from a finite number to a higher one, and this is {self}.")
        if self.log and self.low <= 0:
            raise UsageError(f"A logarithmic range lies above 0, and this is {self}.")
        if self.whole and (self.low != int(self.low) or self.high != int(self.high)):
            raise UsageError(f"The ends of a range of whole numbers are whole, and this is {self}.")

    def __str__(self) -> str:
        return f"{'log:' * self.log}{'int:' * self.whole}{_exact(self.low)}:{_exact(self.high)}"

    @property
    def every(self) -> range | None:
        """All its whole numbers; None where it has others, which are countless."""
        return range(int(self.low), int(self.high) + 1) if self.whole else None

    def distribution(self) -> BaseDistribution:
        """The same for Optuna."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    values: tuple[str | int | float | bool, ...]

    def __post_init__(self) -> None:
        if len(set(self.values)) < 2 or len(set(self.values)) < len(self.values):
            raise UsageError(f"A choice is among at least two different values, and this is {self}.")

    def __str__(self) -> str:
        return ",".join(str(value).lower() if isinstance(value, bool) else str(value) for value in self.values)

    @property
    def every(self) -> tuple[str | int | float | bool, ...]:
        """All its values."""
        return self.values

    def distribution(self) -> BaseDistribution:
        """The same for Optuna."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)


Range = Between | Choice
Space = Mapping[str, Range]
"""What is tuned, by the dotted name of the field; ``TOGETHER`` joins several."""


def parse_range(text: str) -> Range:
    """Read ``log:1e-5:1e-3``, ``0.95:0.999``, ``int:1:8``, ``log:int:16:1024`` or ``128,256,512``.

    Raises UsageError at anything else.
    """
    if "," in text:
        return Choice(tuple(_value(part.strip()) for part in text.split(",")))
    *how, low, high = text.split(":") if text.count(":") else ("", "", "")
    try:
        if not set(how) <= {"log", "int"} or len(set(how)) < len(how):
            raise ValueError(text)
        return Between(float(low), float(high), "log" in how, "int" in how)
    except ValueError as error:
        raise UsageError(f"{text!r} is no range. Give one such as {EXAMPLES}.") from error


def parse_space(lines: Iterable[str]) -> dict[str, Range]:
    """Read ``NAME=RANGE`` of each line. Raises UsageError where one is malformed or a name comes twice."""
    space: dict[str, Range] = {}
    for line in lines:
        name, given, text = line.partition("=")
        if not given or not name.strip():
            raise UsageError(f"{line!r} is no NAME=RANGE. Give one such as sac.gamma=0.95:0.999.")
        if name.strip() in space:
            raise UsageError(f"The space names {name.strip()} twice. Leave one of them out.")
        space[name.strip()] = parse_range(text.strip())
    return space


def read_space(path: Path) -> dict[str, Range]:
    """Read a TOML file of names and ranges, each a text as ``parse_range`` takes it or a list to choose from.

    Tables nest: ``[sac]`` with ``gamma = "0.95:0.999"`` tunes ``sac.gamma``. Raises UsageError.
    """
    return _flat(read_toml(path), "", path)


def _flat(table: Mapping[str, Any], prefix: str, path: Path) -> dict[str, Range]:
    space: dict[str, Range] = {}
    for key, value in table.items():
        name = TOGETHER.join(f"{prefix}{part}" for part in key.split(TOGETHER))
        if isinstance(value, Mapping):
            space |= _flat(value, f"{name}.", path)
        elif isinstance(value, str):
            space[name] = parse_range(value)
        elif isinstance(value, list):
            space[name] = Choice(tuple(value))
        else:
            raise UsageError(f"{path} gives {name} the value {value!r}. Give a range such as {EXAMPLES}.")
    return space


def check_space(space: Space, config: Any) -> None:
    """Prove that every value of the space fits the frozen configuration ``config``.

    Raises UsageError for an unknown field, with the nearest name, and for ends or choices that the field refuses.
    """
    if not space:
        raise UsageError(f"There is nothing to tune. Name a field and its range, such as {_example(config)}.")
    seen: set[str] = set()
    for name, range_ in space.items():
        for field in name.split(TOGETHER):
            if field in seen:
                raise UsageError(f"The space tunes {field} twice. Leave one of them out.")
            seen.add(field)
        values: Sequence[Any] = range_.values if isinstance(range_, Choice) else (range_.low, range_.high)
        if isinstance(range_, Between) and range_.whole:
            values = [int(value) for value in values]
        for value in values:
            configured(config, {name: value})


def _example(config: Any) -> str:
    """A range for a number that ``config`` has."""
    for name in _names(config):
        value = attrgetter(name)(config)
        if isinstance(value, float) and value > 0:
            return f"--space {name}=log:{value / 10:g}:{value * 10:g}"
    return "--space NAME=log:1e-5:1e-3"


def configured(config: T, values: Mapping[str, Any]) -> T:
    """Return ``config`` with ``values`` by dotted name over it; raises UsageError as ``overlay`` does."""
    for name, value in values.items():
        for field in name.split(TOGETHER):
            config = _changed(config, field.split("."), field, value)
    return config


def _changed(config: Any, parts: Sequence[str], whole: str, value: Any) -> Any:
    head, *rest = parts
    if head not in {field.name for field in dataclasses.fields(config)}:
        names = list(_names(config))
        prefix = whole.removesuffix(".".join(parts))
        raise unknown("field", whole, [f"{prefix}{name}" for name in names])
    if not rest:
        return overlay(config, {head: value}, where="tuned")
    inner = getattr(config, head)
    if not dataclasses.is_dataclass(inner):
        raise UsageError(f"{whole} is no field: {whole.removesuffix('.' + '.'.join(rest))} holds a single value.")
    return dataclasses.replace(config, **{head: _changed(inner, rest, whole, value)})


def _names(config: Any) -> Iterable[str]:
    """Dotted names of all fields that hold a single value."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from (f"{field.name}.{name}" for name in _names(value))
        else:
            yield field.name


def has_field(config: Any, name: str) -> bool:
    """Whether ``config`` has the field of this dotted name."""
    return name in set(_names(config))


def texts(space: Space) -> dict[str, str]:
    """The space as plain texts, by name, as ``parse_range`` reads them back."""
    return {name: str(range_) for name, range_ in space.items()}


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The space for Optuna."""
    return {name: range_.distribution() for name, range_ in space.items()}


def _exact(number: float) -> str:
    """The shortest text that reads back as this number."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _value(text: str) -> str | int | float | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
