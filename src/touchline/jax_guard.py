"""What must be in the environment before jax is imported, and is too late afterwards.

jaxlib 0.10 can deadlock in batched Cholesky on machines with few cores: every Eigen thread waits for work
that only another Eigen thread could do. Switching the concurrency-optimised scheduler off cures it and costs
nothing. Letting XLA believe in eight processors cures it too, but on two an update of SAC then takes 1.1 to 1.6
times as long (`benchmarks/jax_threads.py`), so that is only done where flags cannot be added.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

from touchline.config import Settings
from touchline.errors import TouchlineError

SCHEDULER_FLAG = "--xla_cpu_enable_concurrency_optimized_scheduler"
_ENOUGH_THREADS = 8
"""So many of XLA's threads were never seen to wait for each other all at once."""


def guard_jax(settings: Settings | None = None) -> None:
    """Prepare this process, and the children it starts, for jax; call it before anything imports jax.

    Sets the deadlock guard, the persistent compile cache below the home, and leaves every value that the
    user has set. Idempotent. Raises TouchlineError when jax was imported before without the guard.
    """
    if "jax" in sys.modules and not is_guarded(os.environ):
        raise TouchlineError(
            "jax was imported before touchline's guard, and jaxlib may deadlock on this machine. "
            "Call touchline.jax_guard.guard_jax() first, or start Python with "
            f"XLA_FLAGS={SCHEDULER_FLAG}=false in the environment."
        )
    home = (settings or Settings.load()).home
    prepare(os.environ, home / "jax-cache")


def is_guarded(environment: MutableMapping[str, str]) -> bool:
    """Whether an environment holds a guard against the deadlock, whoever put it there."""
    threads = environment.get("NPROC", "")
    has_enough = threads.isdecimal() and int(threads) >= _ENOUGH_THREADS
    return SCHEDULER_FLAG in environment.get("XLA_FLAGS", "") or has_enough


def prepare(environment: MutableMapping[str, str], cache: Path) -> None:
    """Put the guard and the compile cache into ``environment``; values that are there already stay."""
    flags = environment.get("XLA_FLAGS", "").strip()
    # XLA takes anything else for the name of a file with flags, and ends the process when text follows it.
    if flags[:2] not in ("", "--"):
        environment.setdefault("NPROC", str(max(_ENOUGH_THREADS, os.cpu_count() or 1)))
    elif SCHEDULER_FLAG not in flags:
        environment["XLA_FLAGS"] = f"{flags} {SCHEDULER_FLAG}=false".strip()
    environment.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    environment.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
    environment.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
