"""The packages of a task's machine: exactly those of this environment, so that what was tried here runs there."""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distribution, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from touchline.errors import TouchlineError

EXTRAS = ("mlflow", "wandb", "soccer", "learning", "competition", "checkpoint")
"""What the jobs need on a machine that nobody looks at."""
CUDA = "cuda12"
"""jax's part for NVIDIA GPUs, for the drivers of Databricks Runtime 17.3."""


def wheel_name() -> str:
    """File name of the wheel of this version."""
    return f"touchline-{version('touchline')}-py3-none-any.whl"


def requirements() -> str:
    """The text of a ``requirements.txt`` with every package that the jobs need, at the version installed here.

    Raises TouchlineError where one of them is not installed.
    """
    pinned: dict[str, str] = {}
    waiting = [Requirement(f"touchline[{','.join(EXTRAS)}]")]
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if key in done:
            continue
        done.add(key)
        found = _installed(wanted.name)
        pinned[key[0]] = found.version.partition("+")[0]  # "+cpu" names a build that only one index has
        for line in found.requires or ():
            needed = Requirement(line)
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)
            ):
                waiting.append(needed)
    del pinned["touchline"]
    extra = {"jax": f"[{CUDA}]"}
    lines = [f"{name}{extra.get(name, '')}=={number}" for name, number in sorted(pinned.items())]
    return "\n".join(["# Made by touchline deploy databricks of the environment that it ran in.", *lines, ""])


def _installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        raise TouchlineError(
            f"The jobs need {name}, which is not installed here, so its version cannot be written down for "
            f"Databricks. Install it with: pip install 'touchline[{','.join(EXTRAS)}]'"
        ) from error
