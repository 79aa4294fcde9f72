"""W&B's interface on Touchline's journal: ``import touchline.compat.wandb as wandb``.

Runs are recorded on both tracks; no call waits for a network, and W&B's package is not loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from touchline import __version__
from touchline.compat.told import logger, no_attribute, tell
from touchline.compat.wandb import _refused, errors, util
from touchline.compat.wandb._alerts import AlertLevel
from touchline.compat.wandb._artifact import Artifact
from touchline.compat.wandb._config import Config, Summary
from touchline.compat.wandb._init import active, init
from touchline.compat.wandb._media import Html, Image, Unrecorded, Video
from touchline.compat.wandb._numbers import Histogram, Table
from touchline.compat.wandb._run import Run, needs_run
from touchline.compat.wandb._settings import Settings
from touchline.compat.wandb.errors import CommError, Error, UsageError

_OF_RUN = (
    "define_metric",
    "alert",
    "log_artifact",
    "log_model",
    "save",
    "mark_preempting",
    "watch",
    "unwatch",
)
"""Module-level names that are the active run's methods."""
_UNRECORDED = ("Audio", "Object3D", "Plotly", "Molecule", "Graph", "Bokeh", "JoinedTable", "Classes")
__all__ = [
    "AlertLevel",
    "Artifact",
    "CommError",
    "Config",
    "Error",
    "Histogram",
    "Html",
    "Image",
    "Run",
    "Settings",
    "Summary",
    "Table",
    "UsageError",
    "Video",
    "__version__",
    "errors",
    "finish",
    "init",
    "log",
    "login",
    "util",
]


def log(data: Mapping[str, Any], step: int | None = None, commit: bool | None = None, **ignored: Any) -> None:
    """Record values with the active run, see ``Run.log``. Raises UsageError before ``wandb.init``."""
    run = active()
    if run is None:
        raise needs_run("wandb.log")
    run.log(data, step, commit)


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """End the active run, see ``Run.finish``; nothing happens without one."""
    run = active()
    if run is not None:
        run.finish(exit_code, quiet)


join = finish


def login(*arguments: Any, **named: Any) -> bool:
    """Do nothing: the key is read from WANDB_API_KEY or ~/.netrc by the process that delivers."""
    if arguments or named.get("key"):
        tell("login", "wandb.login(key=…) keeps no key. Set WANDB_API_KEY, or sign in once with: wandb login")
    return True


def setup(*arguments: Any, **named: Any) -> None:
    """Do nothing: there is no service process to start."""


ensure_configured = require = setup


def teardown(exit_code: int | None = None) -> None:
    """End the active run."""
    finish(exit_code)


def termlog(string: str = "", **ignored: Any) -> None:
    """Say something on the terminal."""
    logger.info("%s", string)


def termwarn(string: str, **ignored: Any) -> None:
    """Warn on the terminal."""
    logger.warning("%s", string)


termerror = termwarn


class _Plots:
    """``wandb.plot``: custom charts are not drawn; the table that one is given is logged instead."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def plot(*arguments: Any, **named: Any) -> Any:
            for value in (*arguments, *named.values()):
                if isinstance(value, Table):
                    tell("plot table", f"wandb.plot.{name} is not drawn here; its table is logged instead.")
                    return value
            return Unrecorded(f"plot.{name}")

        return plot


plot = _Plots()


class _NotYet:
    """Stands for ``wandb.config`` and ``wandb.summary`` before ``wandb.init``."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise needs_run(f"wandb.{self._name}.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise needs_run(f"wandb.{self._name}.{name}")

    def __getitem__(self, name: str) -> Any:
        raise needs_run(f"wandb.{self._name}[{name!r}]")

    def __setitem__(self, name: str, value: Any) -> None:
        raise needs_run(f"wandb.{self._name}[{name!r}]")


def plot_table(vega_spec_name: str, data_table: Table, *arguments: Any, **named: Any) -> Table:
    """Return the table: custom charts are not drawn."""
    tell("plot table", "wandb.plot_table is not drawn here; its table is logged instead.")
    return data_table


def __getattr__(name: str) -> Any:
    if name == "run":
        return active()
    run = active()
    if name in ("config", "summary"):
        return getattr(run, name) if run is not None else _NotYet(name)
    if name in _OF_RUN:
        if run is None:
            raise needs_run(f"wandb.{name}")
        return getattr(run, name)
    if name in _UNRECORDED:
        return lambda *arguments, **named: Unrecorded(name)
    if name.startswith("__"):
        raise no_attribute("touchline.compat.wandb", name, ())
    return _refused.attribute("touchline.compat.wandb", name, __dir__())


def __dir__() -> list[str]:
    more = ("run", "config", "summary", "plot", "plot_table", "setup", "teardown", "termlog", "termwarn", "termerror")
    return sorted({*__all__, *_OF_RUN, *more})
