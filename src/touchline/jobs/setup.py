"""Job *setup*: what this machine has, what it lacks, and how to get it; also ``touchline doctor``."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Literal

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.filesystem import write_private
from touchline.jobs.base import JobResult

if TYPE_CHECKING:
    from touchline.tracking.run import Run

PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "flashbax", "torch", "mujoco", "mujoco-mjx", "sai-mujoco", "gymnasium",
    "mlflow", "wandb", "tensorboard", "numpy", "scipy", "safetensors", "imageio-ffmpeg", "onnx",
    "onnxruntime", "sai-rl",
)  # fmt: skip
OPTIONAL_PACKAGES = ("wandb", "tensorboard", "sai-rl")
_SPARE_SECONDS = 30.0
"""Added to the bound of a look that bounds itself, for one that hangs all the same: on a disk that is away, say."""


@dataclass(frozen=True)
class SetupConfig:
    """Configuration of *setup*."""

    probe_seconds: float = 120.0
    """Longest wait for what is tried in a process of its own (driver, jax, torch, official environment, MLflow)."""
    connection_seconds: float = 3.0
    """Longest wait for the answer of a server."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    """What was looked at."""
    level: Literal["ok", "degraded", "missing"]
    """degraded: a training runs, with less; missing: it cannot start."""
    found: str
    """What was found, a phrase or a sentence."""
    remedy: str = ""
    """What to do about it; empty when ok."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Numbers behind it, such as ``round_trip_seconds``."""


@dataclass(frozen=True)
class Report:
    """All checks."""

    checks: tuple[Check, ...]

    @property
    def usable(self) -> bool:
        """Whether a training can start here."""
        return all(check.level != "missing" for check in self.checks)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a person should know: everything that is not ok, with its remedy."""
        return tuple(
            f"{check.name}: {check.found.rstrip('.')}. {check.remedy}".strip()
            for check in self.checks
            if check.level != "ok"
        )


def setup(config: SetupConfig, run: Run) -> JobResult:
    """Examine the machine and record what was found.

    Raises:
        TouchlineError: something without which no training can start is missing.
    """
    import json

    report = examine(config, run.settings)
    run.log_params({check.name: check.found for check in report.checks})
    path = run.directory / "machine.json"
    write_private(path, json.dumps([dataclasses.asdict(check) for check in report.checks], indent=2))
    run.log_artifact(path)
    if not report.usable:
        raise TouchlineError(" ".join(report.sentences))
    return JobResult({check.name: check.found for check in report.checks}, report.sentences)


def examine(
    config: SetupConfig, settings: Settings, waiting: Callable[[Sequence[str]], None] = lambda _: None
) -> Report:
    """Look at everything side by side; each look is bounded, and one that fails is a finding like any other.

    ``waiting`` is told which looks are still out, whenever one has come back.
    """
    from touchline.jobs import accelerators, connections, probes
    from touchline.jobs.trying import given_up_with

    seconds = config.probe_seconds
    looks: Mapping[str, Callable[[], Sequence[Check]]] = {
        "packages": lambda: (_machine(), _python(), *_packages()),
        "disk": lambda: (probes.disk(settings),),
        "accelerators": lambda: accelerators.accelerators(settings, seconds),
        "official environments": lambda: (probes.environment(seconds),),
        "renderer": lambda: (probes.renderer(),),
        "wandb server": lambda: (connections.wandb(settings, config.connection_seconds),),
        "mlflow store": lambda: connections.mlflow(settings, seconds),
        "clock": lambda: (connections.clock(settings, config.connection_seconds),),
    }
    with ThreadPoolExecutor(max_workers=len(looks)) as pool, given_up_with():
        found = {pool.submit(look_at, name, look, seconds + _SPARE_SECONDS): name for name, look in looks.items()}
        waiting(tuple(looks))
        for _ in as_completed(found):
            waiting(tuple(name for look, name in found.items() if not look.done()))
    return Report(tuple(check for look in found for check in look.result()))


def look_at(name: str, look: Callable[[], Sequence[Check]], seconds: float) -> Sequence[Check]:
    """Return what ``look`` finds within ``seconds``, or a check called ``name`` that says why it found nothing."""
    from touchline.tracking.probe import bounded

    try:
        return bounded(look, seconds)
    except TimeoutError:
        return (Check(name, "missing", f"no answer within {seconds:.0f} s", "Look whether a disk there hangs."),)
    except TouchlineError as error:
        return (Check(name, "missing", str(error)),)
    except Exception as error:
        found = f"could not be looked at ({type(error).__name__}: {error})"
        return (Check(name, "degraded", found, "This is an error of the look itself; please report it."),)


def _machine() -> Check:
    import psutil

    memory = psutil.virtual_memory().total / 2**30
    return Check(
        "machine", "ok", f"{platform.platform(terse=True)}, {os.cpu_count()} processors, {memory:.0f} GiB memory"
    )


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _packages() -> list[Check]:
    checks = []
    for name in PACKAGES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            level: Literal["degraded", "missing"] = "degraded" if name in OPTIONAL_PACKAGES else "missing"
            remedy = "Install it with: pip install 'touchline[all]' -c constraints.txt"
            checks.append(Check(name, level, "not installed", remedy))
            continue
        if name in ("mujoco", "mujoco-mjx") and not version.startswith("3.3."):
            checks.append(
                Check(
                    name, "missing", f"{version}, with which the official environments do not load",
                    f"Install the tried one with: pip install '{name}==3.3.*'",
                )
            )  # fmt: skip
        else:
            checks.append(Check(name, "ok", version))
    return checks
