"""The slow looks of *setup*: at what may hang, crash or depend on a network, each bounded in time."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from importlib.util import find_spec

from touchline.config import Settings
from touchline.jax_guard import prepare
from touchline.jobs.setup import Check

PACKAGE_OF_LIBRARY = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libOpenGL.so.0": "libopengl0",
    "libOSMesa.so.8": "libosmesa6",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb.so.1": "libxcb1",
    "libX11.so.6": "libx11-6",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
}
_DEVICES = """
import json, jax
print(json.dumps([[d.platform, d.device_kind] for d in jax.devices()]))
"""


def accelerator(settings: Settings, seconds: float) -> Check:
    """Ask jax for its devices, in a process that may hang without harm."""
    environment = dict(os.environ)
    prepare(environment, settings.home / "jax-cache")
    output, complaint = _try(_DEVICES, seconds, environment)
    if complaint is not None:
        return Check("accelerator", "missing", complaint, remedy_for(complaint))
    devices = json.loads(output.splitlines()[-1])
    found = ", ".join(sorted({f"{platform} ({kind})" for platform, kind in devices}))
    if all(platform == "cpu" for platform, _ in devices):
        found += ": no accelerator, pre-training steps MuJoCo natively"
    return Check("accelerator", "ok", f"{len(devices)} x {found}")


def environment(seconds: float) -> Check:
    """Import the official environments, in a process of their own."""
    _, complaint = _try("import sai_mujoco", seconds, dict(os.environ))
    if complaint is not None:
        return Check("official environments", "missing", complaint, remedy_for(complaint))
    return Check("official environments", "ok", "sai-mujoco loads")


def renderer() -> Check:
    """Find an OpenGL that renders; without one the videos are drawn."""
    if find_spec("mujoco") is None:
        return Check("renderer", "degraded", "not looked for, because mujoco is not installed")
    from touchline.soccer.gl import usable_gl

    gl = usable_gl()
    if gl.backend is not None:
        return Check("renderer", "ok", f"{gl.backend} renders")
    what, _, remedy = gl.reason.rpartition("On Debian or Ubuntu: ")
    found = (what or gl.reason).strip().rstrip(".")
    return Check("renderer", "degraded", f"{found}; videos show a drawn figure", remedy)


def wandb(settings: Settings, seconds: float) -> Check:
    """Ask the configured W&B server with the key of the environment."""
    if "wandb" not in settings.sinks:
        return Check("wandb server", "ok", "not among the sinks")
    if find_spec("wandb") is None:
        return Check("wandb server", "degraded", "wandb is not installed; the journals keep everything")
    from touchline.tracking.probe import probe_wandb, wandb_base_url

    answer = probe_wandb(settings, timeout=seconds)
    if answer.usable:
        return Check("wandb server", "ok", f"{wandb_base_url(settings)} answers")
    return Check(
        "wandb server", "degraded", f"{answer.reason.rstrip('.')}; the journals keep everything",
        "Once it can be reached, send what waits with: touchline sync",
    )  # fmt: skip


def mlflow(settings: Settings) -> Check:
    """Open the MLflow store; an SQLite file is read through."""
    if find_spec("mlflow") is None:
        return Check(
            "mlflow store", "missing", "mlflow is not installed", "Install it with: pip install 'touchline[mlflow]'"
        )
    from touchline.tracking.launch import without_credentials
    from touchline.tracking.mlflow_store import check_store
    from touchline.tracking.sinks.base import SinkUnavailable

    try:
        check_store(settings)
    except SinkUnavailable as error:
        return Check("mlflow store", "missing", str(error))
    store = settings.home / "mlflow.db"
    if settings.mlflow_tracking_uri is None and store.exists():
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            remedy = f"Put a backup in its place, or begin a new one with: mv {store} {store}.damaged"
            return Check("mlflow store", "missing", f"{store} is damaged ({verdict})", remedy)
    return Check("mlflow store", "ok", without_credentials(settings.tracking_uri))


def remedy_for(complaint: str) -> str:
    """Name the Debian package of a shared library that a message misses, or the pip extra of a module."""
    library = re.search(r"(lib[\w+.-]+\.so[.\d]*)", complaint)
    if library and (package := PACKAGE_OF_LIBRARY.get(library[1])):
        return f"On Debian or Ubuntu: apt-get install {package}"
    if library:
        return f"Find the Debian package of {library[1]} with: apt-file search {library[1]}"
    if "No module named" in complaint:
        return "Install it with: pip install 'touchline[all]' -c constraints.txt"
    return "Try it by hand to see the whole message."


def _try(code: str, seconds: float, environment: dict[str, str]) -> tuple[str, str | None]:
    """Run Python code in a process: its output, and why it failed or None."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return "", f"no answer within {seconds:.0f} s"
    if done.returncode == 0:
        return done.stdout, None
    lines = done.stderr.strip().splitlines()
    return "", lines[-1] if lines else f"ended with exit code {done.returncode}"
