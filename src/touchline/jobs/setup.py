"""Job *setup*: what this machine has, what it lacks, and how to get it; also ``touchline doctor``."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from touchline.config import MINIMUM_FREE_BYTES, Settings
from touchline.errors import TouchlineError
from touchline.jobs.base import JobResult

if TYPE_CHECKING:
    from touchline.tracking.run import Run

PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "flashbax", "torch", "mujoco", "mujoco-mjx", "sai-mujoco", "gymnasium",
    "mlflow", "wandb", "tensorboard", "numpy", "scipy", "safetensors", "imageio-ffmpeg",
)  # fmt: skip
OPTIONAL_PACKAGES = ("wandb", "tensorboard")


@dataclass(frozen=True)
class SetupConfig:
    """Configuration of *setup*."""

    probe_seconds: float = 120.0
    """Longest wait for a package that is tried in a process of its own (jax, the official environment)."""
    connection_seconds: float = 3.0
    """Longest wait for W&B."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    """What was looked at."""
    level: Literal["ok", "degraded", "missing"]
    """degraded: the pipeline runs, with less; missing: it cannot."""
    found: str
    """What was found, a phrase or a sentence."""
    remedy: str = ""
    """What to do about it; empty when ok."""


@dataclass(frozen=True)
class Report:
    """All checks."""

    checks: tuple[Check, ...]

    @property
    def usable(self) -> bool:
        """Whether the pipeline can run here."""
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
        TouchlineError: something without which the pipeline cannot run is missing.
    """
    import json

    report = examine(config, run.settings)
    run.log_params({check.name: check.found for check in report.checks})
    path = run.directory / "machine.json"
    path.write_text(json.dumps([dataclasses.asdict(check) for check in report.checks], indent=2), encoding="utf-8")
    run.log_artifact(path)
    if not report.usable:
        raise TouchlineError(" ".join(report.sentences))
    return JobResult({check.name: check.found for check in report.checks}, report.sentences)


def examine(config: SetupConfig, settings: Settings) -> Report:
    """Look at everything; slow looks run side by side, each in a process of its own and for a bounded time."""
    from touchline.jobs import probes

    looks: tuple[Callable[[], Sequence[Check]], ...] = (
        lambda: (_machine(), _python(), *_packages()),
        lambda: (_disk(settings),),
        lambda: (probes.accelerator(settings, config.probe_seconds),),
        lambda: (probes.environment(config.probe_seconds),),
        lambda: (probes.renderer(),),
        lambda: (probes.wandb(settings, config.connection_seconds),),
        lambda: (probes.mlflow(settings),),
    )
    with ThreadPoolExecutor(max_workers=len(looks)) as pool:
        return Report(tuple(check for checks in pool.map(lambda look: look(), looks) for check in checks))


def print_report(report: Report) -> None:
    """Print the checks as a table, the remedies under it."""
    from rich.markup import escape
    from rich.table import Table

    from touchline.jobs.progress import terminal

    console = terminal()
    marks = {"ok": "[green]ok[/]", "degraded": "[yellow]less[/]", "missing": "[red]missing[/]"}
    table = Table.grid(padding=(0, 2))
    for check in report.checks:
        table.add_row(marks[check.level], check.name, escape(check.found))
        if check.remedy:
            table.add_row("", "", f"[bold]{escape(check.remedy)}[/]")
    console.print(table)
    lacks = "" if report.usable else " until what is missing above is there"
    console.print(f"The pipeline {'can' if report.usable else 'cannot'} run here{lacks}.")


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


def _disk(settings: Settings) -> Check:
    home: Path = settings.ensure_home(minimum_free_bytes=0)
    free = shutil.disk_usage(home).free
    found = f"{free / 2**30:.1f} GiB free for {home}"
    if free >= MINIMUM_FREE_BYTES:
        return Check("disk", "ok", found)
    return Check("disk", "missing", found, "Free some space, or choose another home with TOUCHLINE_HOME.")
