"""The process that turns trajectories into one video, with OpenGL where it works and drawn where not.

The process that trains has MuJoCo loaded already, perhaps without a renderer, and must not wait: so a job is a
small directory (positions and a request), and ``python -m touchline.soccer.film DIRECTORY`` does it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchline.errors import TouchlineError, between
from touchline.soccer.trajectory import FPS, MOVED, Trajectory

_POLITENESS = 5
"""Niceness of a renderer beside a training: where that uses every core, the renderer gets about a quarter of one."""
_WIDEST_VIEW = 100.0
"""Degrees."""
_TOLD_EVERY = 5
"""Frames."""


@dataclass(frozen=True)
class FilmConfig:
    """What a film is like. Raises UsageError for sizes and speeds that cannot be encoded."""

    width: int = 640
    """Pixels of the whole picture, even; the tiles share them."""
    height: int = 360
    """Pixels of the whole picture, even."""
    columns: int | None = None
    """Tiles side by side; None makes the grid as square as it can be."""
    fps: float = FPS
    """Frames a second of the video; those of the trajectories are shown one by one."""
    caption: str = ""
    """Written once in the picture: whose film it is."""
    hold_seconds: float = 1.5
    """How long the last picture stays when the episodes have ended, so that the scores can be read."""

    def __post_init__(self) -> None:
        between(64, 4_096, self, "width", "height")
        between(1, 120, self, "fps")
        between(0, 60, self, "hold_seconds")

    def grid(self, count: int) -> tuple[int, int, int]:
        """Return columns, and the width and height of a tile, for ``count`` episodes."""
        columns = min(self.columns or math.ceil(math.sqrt(count)), count)
        return columns, self.width // columns, self.height // math.ceil(count / columns)

    def held(self, outcomes: Iterable[tuple[int, str]]) -> int:
        """For how many frames the end is held, given length and outcome of every episode: none when it is cut off."""
        lengths = list(outcomes)
        longest = max(frames for frames, _ in lengths)
        has_ended = any(outcome for frames, outcome in lengths if frames == longest)
        return round(self.hold_seconds * self.fps) if has_ended else 0


@dataclass(frozen=True)
class Rendered:
    """A finished video."""

    path: Path
    """The mp4 file."""
    renderer: str
    """``egl``, ``osmesa`` or ``drawn``."""
    note: str
    """Why it is drawn and what to install; empty for a rendered one."""


def write_job(job: Path, trajectories: Sequence[Trajectory], models: Path, path: Path, config: FilmConfig) -> None:
    """Write what the rendering process needs into the directory ``job``, and models not seen before to ``models``."""
    tiles = []
    for index, trajectory in enumerate(trajectories):
        arrays: dict[str, Any] = {"qpos": trajectory.qpos, **trajectory.moved}
        if trajectory.scores is not None:
            arrays["scores"] = np.asarray(trajectory.scores)
        np.savez(job / f"{index}.npz", **arrays)
        model = str(_saved(trajectory.model, models).absolute())
        tiles.append({"model": model, "title": trajectory.title, "outcome": trajectory.outcome})
    request = {"path": str(Path(path).absolute()), "config": asdict(config), "tiles": tiles}
    (job / "request.json").write_text(json.dumps(request))


def _saved(model: Any, models: Path) -> Path:
    """Return the file of ``model``: with meshes and textures it takes up to 70 MB, so those of one make share it."""
    import mujoco

    make = hashlib.blake2b(bytes(model.names), digest_size=8)
    make.update(repr((model.nq, model.nv, model.ngeom, model.nmeshvert, model.ntexdata)).encode())
    file = models / f"{make.hexdigest()}.mjb"
    if not file.exists():
        mujoco.mj_saveModel(model, str(file), None)
    return file


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


def frames_done(job: Path) -> int:
    """How many frames a job that is under way has made."""
    with contextlib.suppress(OSError, ValueError):
        return int((job / "frames.txt").read_text())
    return 0


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
    from touchline.tracking.video import encode_video

    config = FilmConfig(**request["config"])
    frames = _told(film(job, request["tiles"], config, with_gl=gl.backend is not None), job)
    path = Path(request["path"])
    try:
        # Encoded inside the job's directory: whoever kills this process clears that away.
        encode_video(frames, job / "film.mp4", config.fps).replace(path)
    except TouchlineError as error:
        sys.exit(f"{error}. {gl.reason}".rstrip())
    return Rendered(path, gl.backend or "drawn", gl.reason)


def film(
    job: Path, tiles: Sequence[Mapping[str, Any]], config: FilmConfig, *, with_gl: bool
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames (height, width, 3) of a written job."""
    import mujoco

    from touchline.soccer.captions import Captions, Words
    from touchline.soccer.drawn import Draughtsman
    from touchline.soccer.picture import Painter, Renderer, Shot
    from touchline.tracking.grid import DIM, Grid

    columns, width, height = config.grid(len(tiles))
    models: dict[str, tuple[Any, Painter]] = {}
    shots, words = [], []
    for index, tile in enumerate(tiles):
        if tile["model"] not in models:
            model = mujoco.MjModel.from_binary_path(tile["model"])
            _widen(model, width / height, config.width / config.height)
            models[tile["model"]] = model, (Renderer if with_gl else Draughtsman)(model, width, height)
        model, painter = models[tile["model"]]
        arrays = dict(np.load(job / f"{index}.npz"))
        qpos, scores = arrays["qpos"], arrays.get("scores")
        shots.append(Shot(painter, model, qpos, {name: arrays[name] for name in MOVED}))
        words.append(Words(tile["title"], len(qpos), None if scores is None else scores.tolist(), tile["outcome"]))
    grid = Grid(shots, columns, DIM, config.held((word.frames, word.outcome) for word in words))
    captions = Captions(words, columns, width, height, config.fps, config.caption)
    try:
        yield from _padded(captions.write(grid), config)
    finally:
        for _, painter in models.values():
            painter.close()


def _widen(model: Any, tile_aspect: float, aspect: float) -> None:
    """Let a tile that is narrower than the picture show as much from left to right as a wide one."""
    if tile_aspect < aspect:
        half = math.tan(math.radians(model.vis.global_.fovy) / 2) * aspect / tile_aspect
        model.vis.global_.fovy = min(2 * math.degrees(math.atan(half)), _WIDEST_VIEW)


def _padded(frames: Iterable[NDArray[np.uint8]], config: FilmConfig) -> Iterator[NDArray[np.uint8]]:
    """Fill up with black what the tiles leave of the size: 640 pixels are no three times anything."""
    for frame in frames:
        if frame.shape[:2] != (config.height, config.width):
            whole = np.zeros((config.height, config.width, 3), np.uint8)
            whole[: frame.shape[0], : frame.shape[1]] = frame
            frame = whole
        yield frame


def _told(frames: Iterable[NDArray[np.uint8]], job: Path) -> Iterator[NDArray[np.uint8]]:
    owner = os.getppid()
    for count, frame in enumerate(frames):
        if count % _TOLD_EVERY == 0:
            if os.getppid() != owner:
                sys.exit("whoever wanted this video has gone")
            (job / "frames.txt").write_text(str(count))
        yield frame


def main(job: Path) -> None:
    """Do the job in the directory ``job`` and leave ``result.json`` there."""
    os.nice(int(os.environ.get("TOUCHLINE_RENDER_NICE", "0")))
    done = _perform(job, json.loads((job / "request.json").read_text()))
    partial = job / "result.partial"
    partial.write_text(json.dumps({**asdict(done), "path": str(done.path)}))
    partial.rename(job / "result.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
