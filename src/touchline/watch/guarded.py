"""What others give the watch, kept from ending it: their exceptions are logged once, and told as absences."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from touchline.watch.snapshot import Snapshot

logger = logging.getLogger("touchline")

Found = tuple[Mapping[str, float], Mapping[str, str]]
"""Values of series, and the reasons of those that cannot be had."""
Source = Callable[[Mapping[str, float]], Found]
"""Called with the values that the sample has so far: those of the GPUs, the host and the sources before it."""
Observer = Callable[[Snapshot], None]


class GuardedSource:
    """A source that never raises: what it gave before is absent while it fails."""

    def __init__(self, source: Callable[..., Found], names: Iterable[str] = ()) -> None:
        """``names``: the series that are absent should it fail at once."""
        self._source = source
        self._is_told = False
        self._names = frozenset(names)

    def __call__(self, *given: Mapping[str, float]) -> Found:
        """Return what the source has when it is ``given`` this, or why that is absent."""
        try:
            values, absent = self._source(*given)
            self._names = frozenset(values) | frozenset(absent)
            return values, absent
        except Exception as error:
            if not self._is_told:
                logger.exception(
                    "The watch's source %s failed, and is asked again at each sample.", _name(self._source)
                )
            self._is_told = True
            return {}, dict.fromkeys(self._names, f"{_name(self._source)} failed ({error!r})")


class GuardedObserver:
    """An observer that never raises, and is told the next sample all the same."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._is_told = False

    def __call__(self, sample: Snapshot) -> None:
        """Tell a sample."""
        try:
            self._observer(sample)
        except Exception:
            if not self._is_told:
                name = _name(self._observer)
                logger.exception("The watch's observer %s failed, and is told the next samples all the same.", name)
            self._is_told = True


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
