"""The learners of `sac_speed.py` and `sac_learning.py`, each run in a process of its own."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import HERE, child

from touchline.jax_guard import prepare

PYTHON = HERE.parent / "build" / "peers-sac" / "bin" / "python"
INSTALL = "python3 -m venv build/peers-sac && build/peers-sac/bin/pip install -r benchmarks/requirements-sac.txt"
LEARNERS = ("touchline", "brax", "sbx")


def available(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``wanted`` that are installed."""
    if PYTHON.exists():
        return wanted
    print(f"Brax and SBX are left out. To have them: {INSTALL}")
    return tuple(name for name in wanted if name == "touchline")


def run(learner: str, *arguments: object, timeout: float) -> Any:
    """Run ``peers/sac_<learner>.py`` and return what it says."""
    return script(learner, f"sac_{learner}.py", *arguments, timeout=timeout)


def script(learner: str, name: str, *arguments: object, timeout: float = 400.0) -> Any:
    """Run a script of ``peers/`` where a learner lives, with Touchline's guard for JAX on processors.

    The peers get the same flags of XLA, and a compile cache of their own: versions beside JAX may differ.
    """
    python = sys.executable if learner == "touchline" else PYTHON
    guard: dict[str, str] = {"JAX_PLATFORMS": "cpu"}
    prepare(guard, Path(tempfile.gettempdir()) / f"touchline-benchmark-{learner}-jax-cache")
    return child(name, *arguments, python=python, timeout=timeout, **guard)
