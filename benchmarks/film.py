"""How many frames a second does a film have, beside the official `env.render`? Both alternate; ratios of medians.

Usage: python benchmarks/film.py; writes results/film.json. A film's time is all of it: the start of the rendering
process, captions and the mp4 included. `env.render` has its frames alone, in the same size, after its first one.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path

from touchline.soccer.gl import usable_gl

os.environ["MUJOCO_GL"] = usable_gl().backend or "disable"

import gymnasium
import sai_mujoco  # noqa: F401 - registers the environments

from touchline.config import Settings
from touchline.jobs.films import Stage
from touchline.jobs.players import find_player
from touchline.soccer.film import FilmConfig
from touchline.soccer.render import render_trajectories
from touchline.soccer.tasks import TASKS, task_named
from touchline.soccer.trajectory import Trajectory

RESULTS = Path(__file__).parent / "results" / "film.json"
ROUNDS = 3
PEER_FRAMES = 8
SIZE = {"width": 640, "height": 360}


def played(seconds: float, count: int) -> list[Trajectory]:
    """Episodes in which the robot stands still, the tasks taking turns."""
    player, episodes = find_player(Settings(), "stand-still"), []
    for index in range(count):
        with Stage(TASKS[index % len(TASKS)]) as stage:
            episodes.append(stage.play(player.policy, seed=index, seconds=seconds))
    return episodes


def ours(episodes: list[Trajectory], place: Path, *, drawn: bool) -> float:
    """Frames a second of a whole film."""
    backend = os.environ["MUJOCO_GL"]
    os.environ["MUJOCO_GL"] = "disable" if drawn else backend
    try:
        began = time.perf_counter()
        made = render_trajectories(episodes, place / "film.mp4", FilmConfig(**SIZE, hold_seconds=0.0), timeout=600)
        took = time.perf_counter() - began
    finally:
        os.environ["MUJOCO_GL"] = backend
    assert (made.renderer == "drawn") is drawn
    return max(map(len, episodes)) / took


def theirs(env: gymnasium.Env) -> float:
    """Frames a second of the official environment's own rendering."""
    began = time.perf_counter()
    for _ in range(PEER_FRAMES):
        env.render()
    return PEER_FRAMES / (time.perf_counter() - began)


def main() -> None:
    """Measure, print and keep."""
    warnings.simplefilter("ignore")
    whole = played(10.0, 1)
    short = played(4.0, 9)
    films = {
        "one episode of 10 s": (whole, False),
        **{f"one episode of 4 s, {task}": (short[i : i + 1], False) for i, task in enumerate(TASKS)},
        "three tasks": (short[:3], False),
        "2 x 2": (short[:4], False),
        "3 x 3": (short, False),
        "one episode of 10 s, drawn": (whole, True),
        "three tasks, drawn": (short[:3], True),
        "2 x 2, drawn": (short[:4], True),
        "3 x 3, drawn": (short, True),
    }
    env = gymnasium.make(task_named(TASKS[0]).official_id, render_mode="rgb_array", disable_env_checker=True, **SIZE)
    env.reset(seed=0)
    env.unwrapped.render()
    speeds: dict[str, list[float]] = {name: [] for name in (*films, "env.render")}
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as place:
        for _ in range(ROUNDS):
            for name, (episodes, drawn) in films.items():
                speeds["env.render"].append(theirs(env.unwrapped))
                speeds[name].append(ours(episodes, Path(place), drawn=drawn))
            load.append(os.getloadavg()[0])
    peer = statistics.median(speeds["env.render"])
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    for name, median in medians.items():
        print(f"{name:<44}{median:7.1f} frames/s   {median / peer:5.1f}×")
    kept = {
        "processors": os.cpu_count(),
        "renderer": os.environ["MUJOCO_GL"],
        "load": load,
        "rounds": ROUNDS,
        "frames_per_second": {name: round(median, 1) for name, median in medians.items()},
        "best_and_worst": {name: [round(min(v), 1), round(max(v), 1)] for name, v in speeds.items()},
        "times_env_render": {name: round(median / peer, 1) for name, median in medians.items()},
    }
    RESULTS.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
