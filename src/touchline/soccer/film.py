"""The process that turns one trajectory into one video, with OpenGL where it works and drawn where not.

The process that trains has MuJoCo loaded already, perhaps without a renderer, and must not wait: so a job is a
small directory (positions and a request), and ``python -m touchline.soccer.film DIRECTORY`` does it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.errors import TouchlineError

_MOVED = ("body_pos", "geom_pos", "geom_rgba", "site_pos", "site_rgba")
"""Arrays of a model that a reset may change: where targets and defenders are, and their colours."""
_POLITENESS = 5
"""Niceness of a renderer beside a training: where that uses every core, the renderer gets about a quarter of one."""


@dataclass(frozen=True)
class Rendered:
    """A finished video."""

    path: Path
    """The mp4 file."""
    renderer: str
    """``egl``, ``osmesa`` or ``drawn``."""
    note: str
    """Why it is drawn and what to install; empty for a rendered one."""


def save_model(model: Any, file: Path) -> None:
    """Save the compiled model, which may weigh 70 MB with its meshes and textures: once, not once a video."""
    import mujoco

    mujoco.mj_saveModel(model, str(file), None)


def write_job(
    job: Path, model: Any, file: Path, qpos: NDArray[np.float64], path: Path, fps: float, caption: str = ""
) -> None:
    """Write what the rendering process needs besides the saved model ``file`` into the directory ``job``."""
    qpos = np.asarray(qpos, dtype=np.float64)
    if qpos.ndim != 2 or len(qpos) == 0 or qpos.shape[1] != model.nq:
        raise TouchlineError(
            f"A trajectory of this model has shape (frames, {model.nq}), and this one has {qpos.shape}; "
            "stack one copy of data.qpos a frame."
        )
    np.savez(job / "scene.npz", qpos=qpos, **{name: getattr(model, name) for name in _MOVED})
    request = {
        "path": str(Path(path).absolute()),
        "model": str(file.absolute()),
        "fps": fps,
        "caption": caption,
    }
    (job / "request.json").write_text(json.dumps(request))


def start_job(job: Path, *, background: bool = False) -> subprocess.Popen[bytes]:
    """Start the rendering process of a written job; in the background it yields the processor to others."""
    limits = {"TOUCHLINE_RENDER_NICE": str(_POLITENESS), "LP_NUM_THREADS": "1"} if background else {}
    with (job / "log.txt").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "touchline.soccer.film", str(job)],
            env={**os.environ, **limits},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # A group to be stopped as one, deaf to the terminal's Ctrl-C, but in the training's session: Linux weighs
            # niceness only among the processes of one session.
            process_group=0,
        )


def stop_job(child: subprocess.Popen[bytes]) -> None:
    """Kill the rendering process and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def read_result(job: Path, path: Path) -> Rendered:
    """Return what a finished job says; raises TouchlineError with the last line of its log if it failed."""
    result = job / "result.json"
    if not result.exists():
        lines = [line for line in (job / "log.txt").read_text(errors="replace").splitlines() if line.strip()]
        raise TouchlineError(
            f"The video {path} could not be made: {lines[-1] if lines else 'its process was killed'}. "
            "The training is not touched by this."
        )
    said = json.loads(result.read_text())
    return Rendered(Path(said["path"]), said["renderer"], said["note"])


def _perform(job: Path, request: Mapping[str, Any]) -> Rendered:
    """Runs in the rendering process: choose OpenGL before MuJoCo is imported, make frames, encode them."""
    from touchline.soccer.gl import usable_gl

    gl = usable_gl()
    os.environ["MUJOCO_GL"] = gl.backend or "disable"
    import mujoco

    from touchline.soccer.drawn import drawn
    from touchline.soccer.picture import captioned, rendered
    from touchline.tracking.video import encode_video

    model, scene = mujoco.MjModel.from_binary_path(request["model"]), np.load(job / "scene.npz")
    for name in _MOVED:
        getattr(model, name)[:] = scene[name]
    make = rendered if gl.backend else drawn
    frames = captioned(make(model, scene["qpos"]), request["caption"], request["fps"])
    path = encode_video(frames, Path(request["path"]), request["fps"])
    return Rendered(path, gl.backend or "drawn", gl.reason)


def main(job: Path) -> None:
    """Do the job in the directory ``job`` and leave ``result.json`` there."""
    os.nice(int(os.environ.get("TOUCHLINE_RENDER_NICE", "0")))
    done = _perform(job, json.loads((job / "request.json").read_text()))
    partial = job / "result.partial"
    partial.write_text(json.dumps({**asdict(done), "path": str(done.path)}))
    partial.rename(job / "result.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
