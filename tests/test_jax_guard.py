"""The guard: what it puts into the environment, what it leaves, and when it is too late."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from touchline.jax_guard import prepare

CHOLESKYS = """
import jax, jax.numpy as jnp

@jax.jit
def decompose(matrices):
    def once(_, matrices):
        factors = [jnp.linalg.cholesky(matrix) for matrix in matrices]
        return [0.99 * factor @ factor.mT + 0.01 * jnp.eye(18) for factor in factors]
    return jax.lax.fori_loop(0, 300, once, matrices)

roots = jax.random.normal(jax.random.key(0), (4, 256, 18, 18))
matrices = list(roots @ roots.mT + jnp.eye(18))
for _ in range(3):
    matrices = jax.block_until_ready(decompose(matrices))
print(all(jnp.isfinite(matrix).all() for matrix in matrices))
"""
"""Four batched decompositions that wait for nothing of each other; with two threads and no guard they never end."""


def test_the_flag_cures_the_deadlock_and_the_threads_stay_as_many_as_the_processors(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    prepare(environment, tmp_path)
    assert environment["XLA_FLAGS"] == "--xla_cpu_enable_concurrency_optimized_scheduler=false"
    assert "NPROC" not in environment
    assert environment["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path)


def test_decompositions_beside_each_other_end_on_two_threads(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"NPROC": "2", "JAX_PLATFORMS": "cpu"}
    prepare(environment, tmp_path)
    command = [sys.executable, "-c", CHOLESKYS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.strip() == "True", done.stderr


def test_what_the_user_has_set_stays(tmp_path: Path) -> None:
    environment = {"XLA_FLAGS": "--xla_foo=1", "NPROC": "4", "JAX_COMPILATION_CACHE_DIR": "/elsewhere"}
    prepare(environment, tmp_path)
    assert environment["XLA_FLAGS"] == "--xla_foo=1 --xla_cpu_enable_concurrency_optimized_scheduler=false"
    assert environment["NPROC"] == "4"
    assert environment["JAX_COMPILATION_CACHE_DIR"] == "/elsewhere"


def test_a_second_call_changes_nothing(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    prepare(environment, tmp_path)
    once = dict(environment)
    prepare(environment, tmp_path)
    assert environment == once


def test_a_file_of_flags_stays_alone(tmp_path: Path) -> None:
    environment = {"XLA_FLAGS": "/etc/xla.flags"}
    prepare(environment, tmp_path)
    assert environment["XLA_FLAGS"] == "/etc/xla.flags"


def test_where_no_flag_can_be_added_more_threads_cure_the_deadlock(tmp_path: Path) -> None:
    environment = {"XLA_FLAGS": "/etc/xla.flags"}
    prepare(environment, tmp_path)
    assert int(environment["NPROC"]) == max(8, os.cpu_count() or 1)


@pytest.mark.parametrize(("set_by_user", "refused"), [({}, True), ({"NPROC": "2"}, True), ({"NPROC": "8"}, False)])
def test_a_guard_after_the_import_is_refused(tmp_path: Path, set_by_user: dict[str, str], refused: bool) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "NPROC")} | set_by_user
    code = (
        "import sys, types; sys.modules['jax'] = types.ModuleType('jax')\n"
        "from touchline.jax_guard import guard_jax; guard_jax()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode != 0) is refused, done.stderr
    assert ("jax was imported before touchline's guard" in done.stderr) is refused


def test_an_environment_may_name_the_cache_home(tmp_path: Path) -> None:
    environment = os.environ | {"TOUCHLINE_HOME": str(tmp_path / "h")}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    code = (
        "import os; from touchline.jax_guard import guard_jax; guard_jax(); "
        "print(os.environ['JAX_COMPILATION_CACHE_DIR'])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == str(tmp_path / "h" / "jax-cache")
