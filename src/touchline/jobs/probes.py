"""The slow looks of *setup* at the machine itself, each bounded in time."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from touchline.config import MINIMUM_FREE_BYTES, Settings
from touchline.jobs.setup import Check
from touchline.jobs.trying import remedy_for, try_code


def environment(seconds: float) -> Check:
    """Import the official environments, in a process of their own."""
    _, complaint = try_code("import sai_mujoco", seconds, os.environ)
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


def disk(settings: Settings) -> Check:
    """Judge the free space of the home, which has to be writable. Raises TouchlineError when it is not."""
    home: Path = settings.ensure_home(minimum_free_bytes=0)
    free = shutil.disk_usage(home).free
    found, figures = f"{free / 2**30:.1f} GiB free for {home}", {"free_bytes": float(free)}
    remedy = "Free some space, or choose another home with TOUCHLINE_HOME."
    if free < MINIMUM_FREE_BYTES:
        return Check("disk", "missing", found, remedy, figures)
    if free < MINIMUM_FREE_BYTES + settings.video_bytes:
        return Check("disk", "degraded", f"{found}, less than the videos of one run may take", remedy, figures)
    return Check("disk", "ok", found, figures=figures)
