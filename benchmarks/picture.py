"""Draw the README's picture from a real run of the demo: what it learned, and how the robot plays.

Usage: python benchmarks/picture.py [HOME] (default .touchline); writes docs/images/demo.png.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
from pathlib import Path

import imageio_ffmpeg
import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot

from touchline.catalog import Catalog
from touchline.config import Settings
from touchline.jobs.films import play_scene
from touchline.learning.policy import Policy
from touchline.soccer.control import Controller
from touchline.soccer.film import FilmConfig
from touchline.soccer.render import render_trajectories
from touchline.soccer.world import SoccerWorld

TARGET = Path(__file__).parents[1] / "docs" / "images" / "demo.png"
SECONDS = (0.0, 2.0, 4.0, 6.0)


def curve(journal: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps and values of one metric."""
    with sqlite3.connect(journal) as connection:
        rows = connection.execute("SELECT step, payload FROM events WHERE kind = 'metrics' ORDER BY seq").fetchall()
    points = [(step, json.loads(payload)[name]) for step, payload in rows if name in json.loads(payload)]
    return np.array([step for step, _ in points]), np.array([value for _, value in points])


def frames(policy: Policy, place: Path) -> list[np.ndarray]:
    """Return pictures of one episode at ``SECONDS``; after a fall the last one repeats."""
    world = SoccerWorld(Controller.from_dict(policy.metadata["controller"]))
    played = play_scene(policy, world, seconds=max(SECONDS), seed=1)
    render_trajectories(played, place / "film.mp4", FilmConfig(hold_seconds=0.0))
    reader = imageio_ffmpeg.read_frames(str(place / "film.mp4"))
    width, height = next(reader)["size"]
    pictures = [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]
    return [pictures[min(int(second * 25), len(pictures) - 1)] for second in SECONDS]


def main() -> None:
    """Draw the picture."""
    settings = Settings.load(home=Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    catalog = Catalog.of(settings)
    version = catalog.find("mjx_sac@Candidate-Pretrain")
    journal = settings.run_directory(version.run_id or "") / "journal.db"
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        untrained = Policy.load(catalog.download(catalog.logged(version.mlflow_run_id, "untrained"), place / "a"))
        trained = Policy.load(catalog.download(version, place / "b"))
        rows = [("untrained", frames(untrained, place)), ("pre-trained", frames(trained, place))]

    figure = pyplot.figure(figsize=(13, 4.3), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.1))
    axes = left.subplots()
    steps, values = curve(journal, "train/episode_reward")
    axes.plot(steps, values, color="#9bb7d4", linewidth=1, label="training episodes")
    steps, values = curve(journal, "eval/return")
    axes.plot(steps, values, color="#1f4e79", marker="o", markersize=3, label="evaluation")
    axes.set(xlabel="policy transitions", ylabel="return", title="pretrain: walk to the ball and score")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:.0f}k")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    grid = right.subplots(2, len(SECONDS))
    for row, (name, pictures) in zip(grid, rows, strict=True):
        for cell, picture, second in zip(row, pictures, SECONDS, strict=True):
            cell.imshow(picture[40:, 140:500])  # without the caption
            cell.set(xticks=[], yticks=[])
            cell.set_title(f"{second:.1f} s" if name == "untrained" else "", fontsize=10)
        row[0].set_ylabel(name, fontsize=11)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(TARGET, dpi=110)
    print(TARGET)


if __name__ == "__main__":
    main()
