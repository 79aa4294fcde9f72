"""Which OpenGL a renderer can use here, found out in a subprocess: a bad driver crashes or hangs that one."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BACKENDS = ("egl", "osmesa")
"""Values of ``MUJOCO_GL`` that work without a display, best first."""
_LIBRARIES = {"libEGL.so.1": "libegl1", "libEGL_mesa.so.0": "libegl-mesa0", "libOpenGL.so.0": "libopengl0"}
"""Library that EGL needs: the Debian package that has it."""
_OFF = ("disable", "disabled", "off", "false", "0")
_PROBE = """
import mujoco
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size="1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 16, 16)
renderer.update_scene(data)
renderer.render()
"""


@dataclass(frozen=True)
class Gl:
    """What was found."""

    backend: str | None
    """Value for ``MUJOCO_GL``, or None when nothing renders."""
    reason: str
    """Why there is none, and the remedy; empty otherwise."""


@functools.cache
def usable_gl(timeout: float = 30.0) -> Gl:
    """Return the first backend that renders a frame; each is given ``timeout`` seconds, and asked once.

    ``MUJOCO_GL`` in the environment is tried first; one of MuJoCo's words for "off" is obeyed.
    """
    wish = os.environ.get("MUJOCO_GL", "").lower()
    if wish in _OFF:
        return Gl(None, f"Rendering is switched off by MUJOCO_GL={wish}; unset it to have rendered videos.")
    complaints = []
    for backend in dict.fromkeys([wish, *BACKENDS] if wish else BACKENDS):
        complaint = _complaint(backend, timeout)
        if complaint is None:
            return Gl(backend, "")
        complaints.append(f"{backend}: {complaint}")
    packages = " ".join(_missing_packages())
    return Gl(
        None, f"No OpenGL renders here ({'; '.join(complaints)}). On Debian or Ubuntu: apt-get install {packages}"
    )


def _complaint(backend: str, timeout: float) -> str | None:
    """Return why ``backend`` cannot render, or None when it can."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env={**os.environ, "MUJOCO_GL": backend, "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no frame within {timeout:.0f} s"
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"killed by signal {-done.returncode}"
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith((" ", "Exception ignored"))]
    return lines[-1] if lines else f"exit code {done.returncode}"


def _missing_packages() -> list[str]:
    """Name the Debian packages to install for EGL in software; all of them when none is missing by name."""
    missing = [package for library, package in _LIBRARIES.items() if not _loads(library)]
    if not any(Path("/usr/lib").glob("*/dri/*swrast_dri.so")):
        missing.append("libgl1-mesa-dri")
    return missing or [*_LIBRARIES.values(), "libgl1-mesa-dri"]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
