"""The winner of a study as a TOML file: its whole configuration, and where that comes from."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from touchline.errors import UsageError
from touchline.overlay import overlay, read_toml

T = TypeVar("T")

LINEAGE = "lineage"
"""Table of the file that tells where its values come from, a table a job; no configuration has it."""


def without_lineage(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Split what a TOML file held into the configuration and, by job, the lineage as texts."""
    rest = dict(values)
    told = rest.pop(LINEAGE, {})
    jobs = told.items() if isinstance(told, Mapping) else ()
    return rest, {job: {k: str(v) for k, v in about.items()} for job, about in jobs if isinstance(about, Mapping)}


def lineage_tags(told: Mapping[str, str]) -> dict[str, str]:
    """One job's lineage as tags of the Run that uses the recipe, by which ``touchline lineage`` finds the study."""
    from touchline.catalog.lineage import STUDY_TAG, TRIAL_TAG

    known = {"study": STUDY_TAG, "trial": TRIAL_TAG}
    return {known.get(name, f"touchline.tuned.{name}"): value for name, value in told.items()}


def read_winner(path: Path, config: T) -> tuple[T, dict[str, str]]:
    """What a study of a function of one's own has found: its configuration, laid over ``config``, and tags for a Run.

    ``path`` is the study's ``winner.toml``, ``config`` a frozen dataclass. Give the tags to ``start_run``, so that
    ``touchline lineage`` finds the study. Raises UsageError when the file is missing, malformed, of several jobs, or
    has a field that ``config`` has not.
    """
    values, lineage = without_lineage(read_toml(path))
    if len(lineage) > 1:
        raise UsageError(f"{path} tells of {len(lineage)} jobs: {', '.join(lineage)}. Name the winner of one study.")
    (told,) = lineage.values() or ({},)
    return overlay(config, values, where=str(path)), lineage_tags(told)


def recipe_text(values: Mapping[str, Any], lineage: Mapping[str, Any], head: str) -> str:
    """The file's text: ``head`` as comments, nested plain ``values``, and the lineage, a mapping a job.

    TOML has no null, so values of None are left out; those are every configuration's defaults, or fields that a
    recipe has set and this configuration not, which then keep the recipe's value.
    """
    comments = [f"# {line}".rstrip() for line in head.splitlines()]
    return "\n".join([*comments, *_lines({**values, LINEAGE: lineage}, ())]) + "\n"


def _lines(table: Mapping[str, Any], path: Sequence[str]) -> Iterator[str]:
    inner = {name: value for name, value in table.items() if isinstance(value, Mapping)}
    own = {name: value for name, value in table.items() if name not in inner and value is not None}
    if path and own:
        yield ""
        yield f"[{'.'.join(_key(part) for part in path)}]"
    for name, value in own.items():
        yield f"{_key(name)} = {_value(value)}"
    for name, value in inner.items():
        yield from _lines(value, (*path, name))


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(part) for part in value)}]"
    # TOML's escapes are JSON's, but for DEL, which JSON leaves as it is.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007F")
